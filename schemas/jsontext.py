"""JSON in and out without changing a digit.

A notificatie is routed unchanged, and a number where the standard asks a string becomes that string
digit for digit. So numbers are read as `Number`, their own text, and written back as that text.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from schemas.errors import ParseError


class Number(str):
    """The text of a JSON number, exactly as it was sent."""

    __slots__ = ()


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is geen geldige JSON")


def read_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8, numbers as `Number`. Raises ParseError, whatever the bytes are."""
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise ParseError(f"De body is geen geldige UTF-8 (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise ParseError(
            f"De body is geen geldige JSON: regel {error.lineno}, kolom {error.colno}."
        ) from error
    except ValueError as error:
        raise ParseError(f"De body is geen geldige JSON: {error}.") from error
    except RecursionError as error:
        raise ParseError("De JSON in de body is te diep genest.") from error


def write_json(value: Any) -> bytes:
    """The JSON text of what `read_json` gave, digit for digit. Raises ParseError on lone surrogates."""
    try:
        return orjson.dumps(value, default=_as_sent, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    except orjson.JSONEncodeError as error:
        raise ParseError(
            "De body bevat een halve surrogaat (\\ud800–\\udfff) of is te diep genest."
        ) from error


def _as_sent(value: Any) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.encode())
    raise TypeError(f"no JSON form for {type(value).__name__}")
