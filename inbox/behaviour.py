"""What an inbox answers, as its owner set it: on its page, by the API, or in the query of its address. Pure.

Who is not authorised is refused at once, whatever else is set; and the standard's check of a new
abonnement is answered as a good callback would, so that one can be taken on an inbox set to misbehave.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from schemas.callback_auth import key_of
from schemas.errors import InvalidParam, ValidationError

ANY, NONE = "any", "none"
MAX_AUTHORIZATION = 16 * 1024
MAX_DELAY = 120.0  # seconds
REFUSED = 401
FAILED = 500
"""The status of the requests that fail by chance."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an inbox answers.

    authorization: `any` asks for an Authorization header with something in it, `none` asks for nothing, and
    anything else is the value that it must have. status: of the answer. delay: seconds before the answer.
    fail: the percentage of requests, by chance, that get a 500. drip: seconds over which the bytes of the
    answer are spread. reset: the connection is cut in place of an answer. secret: `whsec_…`, with which
    signatures are checked; "" for none.
    """

    authorization: str = ANY
    status: int = 204
    delay: float = 0.0
    fail: int = 0
    drip: float = 0.0
    reset: bool = False
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets. status: None when the connection is cut. why: in Dutch. delay, drip: seconds."""

    status: int | None
    why: str
    delay: float = 0.0
    drip: float = 0.0


def decide(behaviour: Behaviour, *, authorization: str | None, is_check: bool, dice: float) -> Answer:
    """The answer to a request. is_check: it is that check. dice: from 0 up to 100."""
    if refused := _refusal(behaviour.authorization, authorization):
        return Answer(REFUSED, refused)
    if is_check:
        return Answer(204, "testbericht van de controle: altijd goed beantwoord")
    if behaviour.reset:
        return Answer(None, "verbinding afgebroken, zoals ingesteld", delay=behaviour.delay)
    if dice < behaviour.fail:
        why = f"mislukt, zoals ingesteld voor {behaviour.fail}% van de verzoeken"
        return Answer(FAILED, why, delay=behaviour.delay, drip=behaviour.drip)
    return Answer(behaviour.status, "zoals ingesteld", delay=behaviour.delay, drip=behaviour.drip)


def _refusal(asked: str, given: str | None) -> str:
    """Why it is refused, in Dutch; "" when it is not."""
    if asked == NONE:
        return ""
    if not given:
        return "geweigerd: zonder Authorization"
    if asked == ANY or hmac.compare_digest(asked.encode(), given.encode()):
        return ""
    return "geweigerd: een andere Authorization dan ingesteld"


def read_behaviour(values: Mapping[str, Any], base: Behaviour, *, others: bool = False) -> Behaviour:
    """`base` with what `values` say: texts of a query or a form, or values of JSON.

    others: names that are no setting are left alone. Raises ValidationError with every fault.
    """
    found: dict[str, Any] = {}
    faults = []
    for name, value in values.items():
        if name not in _READERS:
            if not others:
                known = ", ".join(_READERS)
                reason = f"Er is geen instelling met deze naam; wel: {known}."
                faults.append(InvalidParam(name, "unknown-parameters", reason))
            continue
        try:
            found[name] = _READERS[name](value)
        except ValueError as error:
            faults.append(InvalidParam(name, "invalid", str(error)))
    if faults:
        raise ValidationError(faults)
    return replace(base, **found)


def as_json(behaviour: Behaviour) -> dict[str, Any]:
    """The settings as the API has them; whether there is a secret, and not which."""
    return {
        "authorization": behaviour.authorization,
        "status": behaviour.status,
        "delay": behaviour.delay,
        "fail": behaviour.fail,
        "drip": behaviour.drip,
        "reset": behaviour.reset,
        "secret": bool(behaviour.secret),
    }


def _authorization(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > MAX_AUTHORIZATION or not text.isprintable():
        raise ValueError(
            "Vul in: any (elke waarde is goed), none (er hoeft geen te zijn), of precies de waarde die de "
            "header Authorization moet hebben, zonder regeleinden en van hoogstens "
            f"{MAX_AUTHORIZATION} tekens."
        )
    return text


def _number(least: int, most: int, *, unit: str) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not text.isdecimal() or len(text) > 6 or not least <= int(text) <= most:
            raise ValueError(f"Vul een geheel getal in van {least} tot en met {most} ({unit}).")
        return int(text)

    return read


def _seconds(value: Any) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(str(value).strip().replace(",", "."))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_DELAY:
        raise ValueError(f"Vul een aantal seconden in, van 0 tot en met {MAX_DELAY:g}.")
    return seconds


def _switch(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in ("true", "false", "1", "0", "on", ""):
        raise ValueError("Vul true of false in.")
    return text in ("true", "1", "on")


def _secret(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else "?"
    if text and key_of(text) is None:
        raise ValueError("Vul een geheim in als whsec_… (base64), of laat het leeg.")
    return text


_READERS: dict[str, Callable[[Any], Any]] = {
    "authorization": _authorization,
    "status": _number(200, 599, unit="status van het antwoord"),
    "delay": _seconds,
    "fail": _number(0, 100, unit="procent"),
    "drip": _seconds,
    "reset": _switch,
    "secret": _secret,
}
SETTINGS = frozenset(_READERS)
"""The names of what can be set."""
