"""A CloudEvent that a source publishes: its attributes by the rules of CloudEvents 1.0, and its bytes. Pure.

What is kept, routed and delivered is the event in JSON (structured), byte for byte as it came in that form.
Attributes that are not known stay, and so does every digit of the data.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from schemas.errors import MAX_FAULTS, InvalidParam
from schemas.fields import EVENTS, REPEATED, parse_date_time
from schemas.jsontext import Number, Repeated, read_json

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
SPECVERSION = "1.0"
MAX_TEXT = 2000  # characters of id, source, type and other attributes of the specification

TYPE = "#type"
"""Stands for the type of an event among the values by which it is matched; no filter can have this name."""

DATA, DATA_BASE64 = "data", "data_base64"
_NAME = re.compile(r"[a-z0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_WORD = r"[A-Za-z0-9!#$&^_.+*%'`|~-]+"
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}\s*(?:;.*)?")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,9})")
_JSON = re.compile(r"[^/;\s]+/(?:json|[^/;\s]+\+json)\s*(?:;.*)?", re.IGNORECASE)
_REQUIRED = ("specversion", "id", "source", "type")
_HALF = "Een halve surrogaat is geen geldig teken."


@dataclass(frozen=True, slots=True)
class Event:
    """A valid event. body: all of it as JSON in UTF-8, which is what is delivered.

    values: by which it is matched (`event_values`).
    """

    id: str
    source: str
    type: str
    subject: str
    dataref: str
    body: bytes
    values: Mapping[str, str]

    @property
    def about(self) -> str:
        """What it is about, as hoofdObject is of a notificatie: its dataref, else its subject, else ""."""
        return self.dataref or self.subject

    @property
    def address(self) -> str:
        """Its source and its id as one text, the id as the last part; other events have another."""
        return address_of(self.source, self.id)


def address_of(source: str, id_: str) -> str:
    """As `Event.address`."""
    return f"{source}/{quote(id_, safe='')}"


def is_event(data: Any) -> bool:
    """Whether the JSON of an accepted body is an event, and no notificatie.

    An attribute of an event has no capitals, and every notificatie has a hoofdObject.
    """
    return isinstance(data, dict) and "specversion" in data and "hoofdObject" not in data


def is_json(media_type: str | None) -> bool:
    """Whether data of this media type is JSON; without one it is (CloudEvents, JSON format, 3.1)."""
    return not media_type or _JSON.fullmatch(media_type.strip()) is not None


def event_values(data: Mapping[str, Any]) -> dict[str, str]:
    """The values by which an accepted event is matched: TYPE, and the texts and numbers in its data."""
    inner = data.get(DATA)
    found = {
        name: text
        for name, value in (inner.items() if isinstance(inner, dict) else ())
        if (text := _text_of(value)) is not None
    }
    found[TYPE] = str(data.get("type", ""))
    return found


def _values_in(body: bytes) -> dict[str, str]:
    """By the numbers of `schemas.notificatie.read_accepted`, by which the deliverer matches too."""
    try:
        return event_values(orjson.loads(body))
    except orjson.JSONDecodeError:
        return event_values(read_json(body))


def fields_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a notificatie that was accepted; of an event what stands in their place."""
    if not is_event(data):
        return data
    return {
        "kanaal": EVENTS,
        "resource": str(data.get("type", "")),
        "actie": "",
        "hoofdObject": str(data.get("dataref") or data.get("subject") or ""),
        "resourceUrl": address_of(str(data.get("source", "")), str(data.get("id", ""))),
    }


def _text_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def check_event(body: bytes, data: Any, *, under: str = "") -> tuple[Event | None, list[InvalidParam]]:
    """(the event, []) or (None, every fault). data: what `read_json` made of body.

    under: a prefix for the names of faults, such as `2.` for the third of a batch.
    """
    if not isinstance(data, dict):
        return None, [
            InvalidParam(under.rstrip(".") or "nonFieldErrors", "invalid", "Dit is een JSON-object.")
        ]
    faults = [InvalidParam(f"{under}{name}", code, reason) for name, code, reason in _faults(data)]
    if b"\\u" in body and _has_half_surrogate(data.get(DATA)):  # only an escape can spell one
        faults.append(InvalidParam(f"{under}{DATA}", "invalid", _HALF))
    if faults:
        return None, faults[:MAX_FAULTS]
    return (
        Event(
            id=str(data["id"]),
            source=str(data["source"]),
            type=str(data["type"]),
            subject=str(data.get("subject") or ""),
            dataref=str(data.get("dataref") or ""),
            body=body,
            values=_values_in(body) if body else {},
        ),
        [],
    )


def _faults(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each fault as (attribute, code, reason)."""
    again = data.again if isinstance(data, Repeated) else ()
    faults = [(name, "invalid", REPEATED) for name in again]
    faults += [
        (name, "required", "Dit attribuut is verplicht.") for name in _REQUIRED if data.get(name) is None
    ]
    for name, value in data.items():
        if value is None or name == DATA:  # null is as good as not there
            continue
        if reason := _fault(name, value):
            faults.append((name or "nonFieldErrors", "invalid", reason))
    if data.get(DATA) is not None and data.get(DATA_BASE64) is not None:
        faults.append((DATA_BASE64, "invalid", "Een event heeft data of data_base64, niet allebei."))
    return faults


def _fault(name: str, value: Any) -> str:
    """What is wrong with an attribute; "" when nothing is."""
    if name == DATA_BASE64:
        return "" if _is_base64(value) else "Dit is een tekst in base64."
    if _NAME.fullmatch(name) is None:
        return "De naam van een attribuut heeft alleen kleine letters en cijfers (a-z, 0-9)."
    if isinstance(value, Number):
        if name in _RULES:
            return "Dit is een tekst."
        whole = _WHOLE.fullmatch(value) is not None and -(2**31) <= int(value) < 2**31
        return "" if whole else "Een getal is hier een geheel getal van 32 bits; geef een ander als tekst."
    if isinstance(value, bool):
        return "Dit is een tekst." if name in _RULES else ""
    if not isinstance(value, str):
        return "Dit is een tekst, een geheel getal, true of false."
    if _CONTROL.search(value):
        return "Stuurtekens zijn in een attribuut niet toegestaan."
    try:
        value.encode()
    except UnicodeEncodeError:
        return _HALF
    return _RULES[name](value) if name in _RULES else ""


def _has_half_surrogate(value: Any) -> bool:
    """Whether a text in this JSON is no Unicode: the ledger cannot keep it, nor a request carry it."""
    left = [value]
    while left:
        match left.pop():
            case str() as text if not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    return True
            case dict() as pairs:
                left += [*pairs, *pairs.values()]
            case list() as items:
                left += items
    return False


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and not isinstance(value, Number) and bool(_decoded(value) or not value)
    except (binascii.Error, ValueError):
        return False


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text(value: str) -> str:
    if not value.strip():
        return "Dit attribuut mag niet leeg zijn."
    if len(value) > MAX_TEXT:
        return f"Dit attribuut mag niet langer zijn dan {MAX_TEXT} tekens."
    return ""


def _reference(value: str) -> str:
    if reason := _text(value):
        return reason
    if value.isascii() and _REFERENCE.fullmatch(value) is None:
        return "Dit is een URI, zoals urn:nld:oin:00000001823288444000:systeem:zaken."
    return ""


def _uri(value: str) -> str:
    if reason := _reference(value):
        return reason
    return "" if _SCHEME.match(value) else "Dit is een volledige URI, met een schema zoals https."


def _specversion(value: str) -> str:
    return "" if value == SPECVERSION else f"Alleen versie {SPECVERSION} van CloudEvents wordt aangenomen."


def _time(value: str) -> str:
    parsed = parse_date_time(value)
    if parsed is None or not parsed[1] or value[10:11] not in "Tt":
        return "Voer een datum en tijd in volgens RFC 3339, zoals 2026-03-27T10:59:13Z."
    return ""


def _media_type(value: str) -> str:
    return "" if _MEDIA_TYPE.fullmatch(value) else "Dit is een mediatype, zoals application/json."


_RULES = {
    "specversion": _specversion,
    "id": _text,
    "source": _reference,
    "type": _text,
    "subject": _text,
    "time": _time,
    "dataschema": _uri,
    "dataref": _reference,
    "datacontenttype": _media_type,
}
"""The rules of the attributes that the specification and its extension `dataref` know."""
