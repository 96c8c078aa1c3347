"""Field rules of the standard as pydantic types, and pydantic's errors as InvalidParams.

Every rule that a field of kanaal, abonnement or notificatie must keep is here, each with the standard's
code and a Dutch reason; the models only say which rule goes with which field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from schemas.errors import MAX_FAULTS, InvalidParam
from schemas.jsontext import Number, Repeated
from schemas.urls import read_url

E = TypeVar("E", bound=StrEnum)
M = TypeVar("M", bound=BaseModel)

_AUTHORITY = re.compile(r"https?://[^/?#]{1,512}", re.IGNORECASE)
_USERINFO = re.compile(r"[a-z]+://[^/?#]*@", re.IGNORECASE)
NON_FIELD = "nonFieldErrors"
EVENTS = "@cloudevents"
"""Stands for the kanaal of CloudEvents that sources publish as such; no kanaal has this naam."""
REPEATED = "Deze naam komt vaker dan één keer voor."

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LATIN1_HEADER = re.compile(r"[\x20-\x7e\xa0-\xff\t]*")
_DATE_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(?::(\d{2})(\.\d+)?)?([Zz]|[+-]\d{2}:[0-5]\d)?", re.ASCII
)


def fault(code: str, reason: str) -> PydanticCustomError:
    """A field fault to raise inside a validator. `reason` may hold braces: it is not a template."""
    return PydanticCustomError("fault", "{reason}", {"code": code, "reason": reason})


def normalise(name: str) -> str:
    """A kenmerk's name in the form that is compared: lower case, without `_`."""
    return name.lower().replace("_", "")


def as_text(value: Any) -> str:
    """A JSON value where the standard requires a string: strings and numbers pass, all else is a fault."""
    if type(value) is str:
        text = value
    elif isinstance(value, Number):
        text = str.__str__(value)
    elif value is None:
        raise fault("null", "Dit veld mag niet leeg (null) zijn.")
    elif isinstance(value, str):
        text = str(value)
    else:
        raise fault("invalid", "Dit is geen geldige tekst.")
    if "\x00" in text:
        raise fault("invalid", "Een NUL-teken is niet toegestaan.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise fault("invalid", "Een halve surrogaat is geen geldig teken.") from None
    return text


def _text(*, max_length: int | None, blank: bool = False, name: bool = False) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        text = as_text(value)
        if not blank and not text.strip():
            raise fault("blank", "Dit veld mag niet leeg zijn.")
        if max_length is not None and len(text) > max_length:
            raise fault("max_length", f"Dit veld mag niet langer zijn dan {max_length} tekens.")
        if name and _CONTROL.search(text):
            raise fault("invalid", "Stuurtekens zijn in een naam niet toegestaan.")
        return text

    return check


def _kanaal_naam(*, max_length: int | None) -> Callable[[Any], str]:
    text_of = _text(max_length=max_length, name=True)

    def check(value: Any) -> str:
        text = text_of(value)
        if text == EVENTS:
            raise fault("invalid", f"De naam {EVENTS} is gereserveerd.")
        return text

    return check


def _url(*, max_length: int | None, blank: bool = False, userinfo: bool) -> Callable[[Any], str]:
    text_of = _text(max_length=max_length, blank=blank)

    def check(value: Any) -> str:
        text = text_of(value)
        if not text:
            return text
        if not text.strip():
            raise fault("blank", "Dit veld mag niet uit alleen spaties bestaan.")
        if not is_http_url(text):
            raise fault("invalid", "Voer een volledige http- of https-URL in, met een host.")
        if not userinfo and _USERINFO.match(text):
            raise fault(
                "invalid",
                "Zet geen gebruikersnaam of wachtwoord in de URL (iedereen kan die lezen); gebruik auth.",
            )
        return text

    return check


def is_http_url(text: str) -> bool:
    """Whether text is an absolute http(s) URL with a host; single-label hosts are fine."""
    # No host is longer, and a path of a megabyte need not be parsed.
    authority = _AUTHORITY.match(text)
    if _CONTROL.search(text) or " " in text or authority is None or text[authority.end() :][:1] not in "/?#":
        return False
    try:
        url = read_url(authority[0])
        # yarl checks the port only when it is asked for.
        return bool(url.host) and (url.port is None or 0 < url.port < 65536)
    except (ValueError, UnicodeError):
        return False


def parse_date_time(text: str) -> tuple[datetime, bool] | None:
    """(the moment, whether the text carried an offset), or None when it is no RFC 3339 date-time.

    A space for the T and missing seconds are accepted; a bare date and numbers are not. Without offset: UTC.
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    date, minutes, seconds, fraction, offset = match.groups()
    micros = (fraction or ".0")[1:7].ljust(6, "0")
    zone = "+00:00" if offset in (None, "Z", "z") else offset
    leap = seconds == "60"
    try:
        second = "59" if leap else seconds or "00"
        moment = datetime.fromisoformat(f"{date}T{minutes}:{second}.{micros}{zone}")
        # 9999-12-31 with a negative offset has no UTC moment, and its leap second no moment at all.
        utc = moment.astimezone(UTC)
        if leap:
            moment += timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    if leap and (utc.hour, utc.minute) != (23, 59):
        return None
    return moment, offset is not None


def as_utc(text: str) -> str:
    """A valid date-time without offset, as UTC: `…Z`, with every digit that it had."""
    date, time = text[:10], text[11:]
    return f"{date}T{time}{':00' if time.count(':') == 1 else ''}Z"


def as_auth(value: Any) -> str:
    """The Authorization value of an abonnement: one line of latin-1, at most 16 KiB, not blank."""
    text = _text(max_length=16 * 1024)(value)
    if _LATIN1_HEADER.fullmatch(text) is None:
        raise fault("invalid", "auth moet op één regel passen en mag alleen latin-1-tekens bevatten.")
    return text


def header_value(value: Any) -> str:
    """The value of any other header, by the same rules."""
    text = _text(max_length=16 * 1024)(value)
    if _LATIN1_HEADER.fullmatch(text) is None:
        raise fault("invalid", "Dit moet op één regel passen en mag alleen latin-1-tekens bevatten.")
    return text


def as_list(value: Any) -> list[Any]:
    """A JSON list, or the standard's `not_a_list`."""
    if value is None:
        raise fault("null", "Dit veld mag niet leeg (null) zijn.")
    if not isinstance(value, list):
        raise fault("not_a_list", "Hier hoort een lijst te staan.")
    return value


def as_pairs(*, max_key: int | None = None, max_value: int = 1000) -> Callable[[Any], dict[str, str]]:
    """Check of a `{name: value}` object: kenmerken or filters. Faults are under the pair's own name.

    Two names that normalise alike are `invalid` on the second. Raises PairFaults with all of them.
    """
    value_of = _text(max_length=max_value, blank=True)
    key_of = _text(max_length=max_key, name=True)

    def check(value: Any) -> dict[str, str]:
        if value is None:
            raise fault("null", "Dit veld mag niet leeg (null) zijn.")
        if not isinstance(value, dict):
            raise fault("not_a_dict", "Hier hoort een object (sleutel/waarde) te staan.")
        pairs: dict[str, str] = {}
        seen: set[str] = set()
        faults: list[tuple[str, str, str]] = []
        for key, item in value.items():
            try:
                key_of(key)
                if (same := normalise(key)) in seen:
                    raise fault("invalid", "Deze naam komt al voor (hoofdletters en _ tellen niet mee).")
                seen.add(same)
                pairs[key] = value_of(item)
            except PydanticCustomError as error:
                context = error.context or {}
                faults.append((key, context["code"], context["reason"]))
                if len(faults) == MAX_FAULTS:
                    break
        if isinstance(value, Repeated):
            faults += [(key, "invalid", REPEATED) for key in value.again]
        if faults:
            raise PydanticCustomError("faults", "pairs", {"faults": faults})
        return pairs

    return check


def repeated_names(data: Any, *, under: str = "") -> list[InvalidParam]:
    """The faults of an object with duplicate names, of which it is unclear which value counts.

    under: a prefix for the names, such as `kanalen.0.`.
    """
    again = data.again if isinstance(data, Repeated) else ()
    return [InvalidParam(under + (name or NON_FIELD), "invalid", REPEATED) for name in again]


def as_yes(value: Any) -> bool:
    """A JSON true or false."""
    if not isinstance(value, bool):
        raise fault("invalid", "Dit is true of false.")
    return value


def as_yes_or_text(value: Any) -> bool:
    """A JSON true or false, or the text of one."""
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise fault("invalid", "Dit is true of false.")


def one_of(kind: type[E], reason: str) -> Callable[[Any], E]:
    """A rule for a text that is one of the values of an enumeration; `reason` is what is said of others."""

    def check(value: Any) -> E:
        try:
            return kind(as_text(value))
        except ValueError:
            raise fault("invalid", reason) from None

    return check


def parse(
    model: type[M], data: Any, *, sent: Any = None, context: Any = None
) -> tuple[M | None, list[InvalidParam]]:
    """(the model's value for data, []) or (None, every field fault).

    sent: the request's own data, where something was added to it: duplicate names are looked for there.
    context: for the model's own checks.
    """
    repeated = repeated_names(data if sent is None else sent)
    try:
        asked = model.model_validate(data, context=context)
    except PydanticValidationError as error:
        return None, invalid_params(error.errors(include_url=False, include_input=False)) + repeated
    return (None, repeated) if repeated else (asked, [])


def invalid_params(errors: Iterable[ErrorDetails]) -> list[InvalidParam]:
    """Pydantic's errors as the standard's invalidParams, in the order of the fields."""
    params = []
    for error in errors:
        name = ".".join(str(part) for part in error["loc"])
        context = error.get("ctx", {})
        match error["type"]:
            case "missing":
                params.append(InvalidParam(name, "required", "Dit veld is verplicht."))
            case "extra_forbidden":
                params.append(InvalidParam(name, "unknown-field", "Dit veld bestaat hier niet."))
            case "faults":
                params += [InvalidParam(f"{name}.{k}".lstrip("."), c, r) for k, c, r in context["faults"]]
            case "fault":
                params.append(InvalidParam(name or NON_FIELD, context["code"], context["reason"]))
            case _:
                where = f"{name}.{NON_FIELD}" if name else NON_FIELD
                params.append(InvalidParam(where, "invalid", "Hier hoort een JSON-object te staan."))
    return params


KanaalNaam = Annotated[str, BeforeValidator(_kanaal_naam(max_length=50))]
YesOrNo = Annotated[bool, BeforeValidator(as_yes)]
FilterNaam = Annotated[str, BeforeValidator(_text(max_length=100, name=True))]
Text100 = Annotated[str, BeforeValidator(_text(max_length=100))]
AnyNaam = Annotated[str, BeforeValidator(_kanaal_naam(max_length=None))]
Auth = Annotated[str, BeforeValidator(as_auth)]
HttpUrl = Annotated[str, BeforeValidator(_url(max_length=None, userinfo=True))]
CallbackUrl = Annotated[str, BeforeValidator(_url(max_length=2048, userinfo=False))]
DocumentatieLink = Annotated[str, BeforeValidator(_url(max_length=200, blank=True, userinfo=True))]
Kenmerken = Annotated[dict[str, str], BeforeValidator(as_pairs())]
Filters = Annotated[dict[str, str], BeforeValidator(as_pairs(max_key=100))]
