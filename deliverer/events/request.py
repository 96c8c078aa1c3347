"""The request that carries a CloudEvent to a callback: structured or binary, by the HTTP binding. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deliverer.events.event import JSON, attributes_of, kenmerken_as_data
from deliverer.http.client import Failure, FailureClass
from runtime.settings import Settings
from schemas.errors import ParseError
from schemas.events.binary import CONTENT_TYPE, PREFIX, as_binary, as_header
from schemas.events.event import STRUCTURED, is_event
from schemas.events.mapping import Data, EventMapping, mapping_named
from schemas.events.options import CloudEvents, Mode
from schemas.jsontext import write_json
from schemas.notificatie import read_accepted

if TYPE_CHECKING:
    from schemas.delivery_options import DeliveryOptions

ORIGIN = "WebHook-Request-Origin"


def source_of(settings: Settings) -> str:
    """The `source` of events that are made of notificaties without one."""
    return settings.cloudevents_source or settings.public_url or "/api/v1"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is sent in place of the notificatie. headers: beside those of every delivery."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoEvent:
    """The notificatie becomes no event, and is not sent. detail: by which mapping, and what it was."""

    detail: str


class Events:
    """Makes requests with events. mappings: own ones, by name, as they are now. source: of this system."""

    def __init__(self, mappings: Callable[[], Mapping[str, EventMapping]], *, source: str) -> None:
        self._mappings = mappings
        self._source = source

    def of(self, options: DeliveryOptions, *, id: str, body: bytes) -> Rendered | NoEvent | Failure:
        """What an abonnement with these options is sent of a message with this body."""
        asked = options.cloudevents
        if asked is None:
            return Rendered(body)
        mapping = mapping_named(asked.mapping, self._mappings())
        if mapping is None:
            detail = f"there is no mapping {asked.mapping} of CloudEvents"
            return Failure(FailureClass.NO_MAPPING, detail)
        return rendered(body, asked, mapping, id=id, source=self._source)


def rendered(
    body: bytes, asked: CloudEvents, mapping: EventMapping, *, id: str, source: str
) -> Rendered | NoEvent:
    """A notificatie as the event that it becomes. One that is an event already goes as it is.

    A body that cannot be read was not published by a gateway, and is sent as it is rather than lost.
    """
    consent = {ORIGIN: asked.origin} if asked.origin else {}
    try:
        found = read_accepted(body)
    except ParseError:
        return Rendered(body, consent)
    if not isinstance(found, dict):
        return Rendered(body, consent)
    if is_event(found):
        made = _event(body, asked.mode)
        return Rendered(made.body, made.headers | consent)
    rule = mapping.rule_of(found)
    if rule is None:
        what = "/".join(str(found.get(name, "")) for name in ("kanaal", "resource", "actie"))
        return NoEvent(f"{asked.mapping}: {what}")
    attributes = attributes_of(found, rule, id=id, source=source, sequence=asked.sequence)
    match rule.data:
        case Data.KENMERKEN:
            data = write_json(kenmerken_as_data(found))
        case Data.NOTIFICATIE:
            data = body
        case Data.NONE:
            data = b""
    make = _binary if asked.mode is Mode.BINARY else _structured
    made = make(attributes, data)
    return Rendered(made.body, made.headers | consent)


def _structured(attributes: Mapping[str, str], data: bytes) -> Rendered:
    """All in one JSON object; `data` is written as it is, with every digit of its numbers."""
    text = write_json(dict(attributes))
    if data:
        text = b'%s,"data":%s}' % (text[:-1], data)
    return Rendered(text, {"Content-Type": STRUCTURED})


def _binary(attributes: Mapping[str, str], data: bytes) -> Rendered:
    headers = {PREFIX + name: as_header(value) for name, value in attributes.items() if name != CONTENT_TYPE}
    return Rendered(data, {"Content-Type": attributes.get(CONTENT_TYPE, JSON), **headers})


def _event(body: bytes, mode: Mode) -> Rendered:
    """An event that came in as one: every attribute goes on, also those that nobody here knows.

    What cannot be in binary form (it is nested too deep) is sent structured rather than never.
    """
    if mode is Mode.BINARY:
        with suppress(ParseError, UnicodeEncodeError):
            headers, data = as_binary(body)
            return Rendered(data, headers)
    return Rendered(body, {"Content-Type": STRUCTURED})
