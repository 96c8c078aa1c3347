"""The CloudEvent that a notificatie becomes, by the NL GOV profile for CloudEvents 1.1. Pure.

Its id is that of the accepted notificatie, so it is the same at each attempt, for every abonnement and in a
replay. Its time is the aanmaakdatum: when its source says that it made the notificatie.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from ledger.ids import received_of
from schemas.events.mapping import Data, Rule, filled
from schemas.fields import parse_date_time

JSON = "application/json"
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:[0-5]\d(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII
)  # RFC 3339, without a leap second: few libraries read one
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_REFERENCE = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")


def attributes_of(
    notificatie: Mapping[str, Any], rule: Rule, *, id: str, source: str, sequence: bool = False
) -> dict[str, str]:
    """Its context attributes, in a fixed order.

    source: of this system; that of the notificatie goes before, where it has one. sequence: whether there is
    one: when it was accepted, in milliseconds of 16 digits. It orders events and shows no gaps; so there is
    no sequencetype, which would promise numbers without gaps.
    """
    own = notificatie.get("source")
    found = {
        "specversion": "1.0",
        "id": id,
        "source": own if isinstance(own, str) and _REFERENCE.fullmatch(own) else source,
        "type": _clean(filled(rule.type, notificatie)),
    }
    if subject := _clean(filled(rule.subject, notificatie)):
        found["subject"] = subject
    if time := _time(notificatie.get("aanmaakdatum")):
        found["time"] = time
    if dataref := filled(rule.dataref, notificatie):
        found["dataref"] = _as_reference(dataref)
    if sequence and (order := _order(id)):
        found["sequence"] = order
    if rule.data is not Data.NONE:
        found["datacontenttype"] = JSON
    return found


def kenmerken_as_data(notificatie: Mapping[str, Any]) -> dict[str, Any]:
    """The data of an event as Open Notificaties makes it: the kenmerken and hoofdObject."""
    kenmerken = notificatie.get("kenmerken")
    return {
        **(kenmerken if isinstance(kenmerken, dict) else {}),
        "hoofdObject": notificatie.get("hoofdObject", ""),
    }


def _clean(text: str) -> str:
    """Without control characters, which no attribute may have."""
    return text if text.isprintable() else _CONTROL.sub("", text)


def _as_reference(text: str) -> str:
    """The text with what no URI may have quoted."""
    if _REFERENCE.fullmatch(text):
        return text
    return quote(text, safe="-._~:/?#[]@!$&'()*+,;=%")


def _time(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    if _TIME.fullmatch(value):
        return value
    found = parse_date_time(value)
    return "" if found is None else found[0].isoformat().replace("+00:00", "Z")


def _order(id: str) -> str:
    try:
        received = received_of(UUID(id))
    except ValueError:
        return ""
    return "" if received is None else f"{received:016d}"
