"""Notificatie: the message that is routed, and the bytes that are delivered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from sys import getsizeof
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.alias_generators import to_camel

from schemas.errors import InvalidParam, ParseError
from schemas.events.event import event_values, is_event
from schemas.fields import (
    HttpUrl,
    KanaalNaam,
    Kenmerken,
    Text100,
    as_text,
    as_utc,
    fault,
    parse,
    parse_date_time,
)
from schemas.jsontext import LARGE, Number, read_json, read_rounded, write_json

HOOFD_OBJECT = "#hoofdobject"
ATTRIBUTES = {"#actie": "actie", "#resource": "resource", HOOFD_OBJECT: "hoofdObject"}
"""Names by which a filter asks an attribute of the notificatie itself, normalised; and that attribute."""

PAIR = 100  # bytes of memory of a pair in a dict, at most, beside its texts


def _aanmaakdatum(value: Any, info: ValidationInfo) -> str:
    text = as_text(value)
    parsed = parse_date_time(text)
    if parsed is None:
        raise fault("invalid", "Voer een datum en tijd in volgens RFC 3339, zoals 2019-03-27T10:59:13Z.")
    moment, has_offset = parsed
    latest: datetime = (info.context or {})["latest"]
    if moment > latest:
        raise fault("future_not_allowed", "De aanmaakdatum mag niet in de toekomst liggen.")
    return text if has_offset else as_utc(text)


class NotificatieRequest(BaseModel):
    """What a POST of a notificatie must hold; all else is passed on unchanged."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True)

    kanaal: KanaalNaam
    hoofd_object: HttpUrl
    resource: Text100
    resource_url: HttpUrl
    actie: Text100
    aanmaakdatum: Annotated[str, BeforeValidator(_aanmaakdatum)]
    kenmerken: Kenmerken = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notificatie:
    """A valid notificatie.

    body: the bytes that are delivered: those that were received, unless a value was coerced.
    """

    kanaal: str
    resource: str
    actie: str
    kenmerken: dict[str, str]
    body: bytes
    hoofd_object: str = ""
    resource_url: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """Its attributes that a filter may ask, by their names in ATTRIBUTES."""
        return {"#actie": self.actie, "#resource": self.resource, HOOFD_OBJECT: self.hoofd_object}

    @property
    def size(self) -> int:
        """Approximate bytes of memory: a kenmerk may take many times as many as in the body."""
        pairs = sum(PAIR + getsizeof(name) + getsizeof(value) for name, value in self.kenmerken.items())
        return getsizeof(self.body) + getsizeof(self.hoofd_object) + getsizeof(self.resource_url) + pairs


def read_notificatie(
    body: bytes, *, now: datetime, leeway: timedelta
) -> tuple[Any, Notificatie | None, list[InvalidParam]]:
    """The data of a body, and (the notificatie, []) or (None, every field fault). Raises ParseError.

    now: aware datetime; leeway: how far aanmaakdatum may lie ahead of it.
    """
    if len(body) > LARGE and (data := read_rounded(body, within="kenmerken")) is not None:
        notificatie, _ = check_notificatie(body, data, now=now, leeway=leeway)
        if notificatie is not None and notificatie.body is body:  # no number of it was coerced
            return data, notificatie, []
        del data, notificatie
    data = read_json(body)
    return data, *check_notificatie(body, data, now=now, leeway=leeway)


def check_notificatie(
    body: bytes, data: Any, *, now: datetime, leeway: timedelta
) -> tuple[Notificatie | None, list[InvalidParam]]:
    """(the notificatie, []) or (None, every field fault). `data` is what `body` holds.

    now: aware datetime; leeway: how far aanmaakdatum may lie ahead of it.
    """
    request, faults = parse(NotificatieRequest, data, context={"latest": now + leeway})
    if request is None:
        return None, faults
    return (
        Notificatie(
            kanaal=request.kanaal,
            resource=request.resource,
            actie=request.actie,
            kenmerken=request.kenmerken,
            body=_outgoing(body, data, request),
            hoofd_object=request.hoofd_object,
            resource_url=request.resource_url,
        ),
        [],
    )


def _outgoing(body: bytes, data: dict[str, Any], request: NotificatieRequest) -> bytes:
    """The body as received, or rewritten where a number became text or a naive datetime became UTC."""
    coerced: dict[str, Any] = {
        name: value
        for name, value in (
            ("kanaal", request.kanaal),
            ("resource", request.resource),
            ("actie", request.actie),
            ("aanmaakdatum", request.aanmaakdatum),
        )
        if isinstance(data[name], Number) or data[name] != value
    }
    kenmerken = data.get("kenmerken", {})
    if any(isinstance(value, Number) for value in kenmerken.values()):
        coerced["kenmerken"] = request.kenmerken
    return write_json({**data, **coerced}) if coerced else body


def read_accepted(body: bytes) -> Any:
    """The JSON of a body that a gateway accepted; its numbers may be rounded. Raises ParseError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return read_json(body)  # slower, and accepts all that the gateway does: surrogates, deeper nesting


def kenmerken_of(body: bytes) -> dict[str, str] | None:
    """The kenmerken of what was accepted, of an event its `event_values`; None when it can't be read."""
    try:
        data = read_accepted(body)
        if is_event(data):
            return event_values(data)
        return {str(name): str(value) for name, value in data.get("kenmerken", {}).items()}
    except (ParseError, AttributeError):
        return None


def values_in(data: Any) -> dict[str, str]:
    """What filters may ask of an accepted notificatie: its kenmerken, and ATTRIBUTES. data: its JSON.

    Of an event its `event_values`. Raises AttributeError when it is neither.
    """
    if is_event(data):
        return event_values(data)
    about = {name: str(data.get(attribute, "")) for name, attribute in ATTRIBUTES.items()}
    return {**data.get("kenmerken", {}), **about}


def values_of(body: bytes) -> dict[str, str] | None:
    """The same of a body; None when it can't be read."""
    try:
        return {str(name): str(value) for name, value in values_in(read_accepted(body)).items()}
    except (ParseError, AttributeError, TypeError):
        return None
