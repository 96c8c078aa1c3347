"""Rules of numbers in options. They come as JSON numbers, or as text from a command or a setup file."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BeforeValidator, WithJsonSchema

from schemas.fields import fault

_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def _said(number: float) -> str:
    return f"{number:g}".replace(".", ",")


def number(*, least: float, most: float, what: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """The rule of a number from `least` to `most`. what: such as "verzoeken per seconde", for the reason."""
    reason = f"Dit is een getal van {_said(least)} tot en met {most:.0f} ({what})."

    def check(value: Any) -> int | float:
        found = _number_of(value, reason)
        if not least <= found <= most:
            raise fault("invalid", reason)
        return int(found) if found == int(found) else found

    return BeforeValidator(check), WithJsonSchema({"type": "number", "minimum": least, "maximum": most})


def whole_number(*, least: int, most: int, what: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """The same of a whole number."""
    reason = f"Dit is een geheel getal van {least} tot en met {most} ({what})."

    def check(value: Any) -> int:
        found = _number_of(value, reason)
        if found != int(found) or not least <= found <= most:
            raise fault("invalid", reason)
        return int(found)

    return BeforeValidator(check), WithJsonSchema({"type": "integer", "minimum": least, "maximum": most})


def _number_of(value: Any, reason: str) -> float:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or _DECIMAL.fullmatch(text) is None:
        raise fault("invalid", reason)
    return float(text)
