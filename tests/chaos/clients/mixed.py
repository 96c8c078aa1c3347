"""What is published for abonnementen with delivery options, and these abonnementen.

One kanaal, few hoofdObjecten, so that there is an order to keep and there are repeats to leave out. A quarter
of what is published is bulk, and an eighth are CloudEvents. Pure, as load.py is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tests.chaos.clients.load import OBJECTEN, Posting, Traffic, Wanted

OBJECTS = 41
"""hoofdObjecten. Prime, so that each has notificaties of every kind."""
EVENTS = "/api/v1/cloudevents"
BATCH = "nightly-run"
ROOT = "https://bron.example.nl/api/v1"
TYPE = "nl.example.objecten.gewijzigd"

SET_ASIDE = 4.0
"""Seconds after which the abonnement "set-aside" lets others go before one that fails."""
WINDOW = 2
"""Seconds between two about one resource, of the abonnement "newest"."""


def is_event(number: int) -> bool:
    """Whether it is published as a CloudEvent."""
    return number % 8 == 7


def is_bulk(number: int) -> bool:
    """Whether it is published with X-Batch-Id."""
    return number % 4 == 1


def hoofd_object(number: int) -> str:
    """What it is about."""
    return f"{ROOT}/zaken/{number % OBJECTS}"


def resource(number: int) -> str:
    """What two have in common of which the newer may stand for the older; all else of ours is the same."""
    return f"{ROOT}/statussen/{number % OBJECTS}"


def posting(number: int) -> Posting:
    """The request of a publisher."""
    name = f"{ROOT}/object/{number}"
    kenmerken = {"helft": _half(number), "kwart": _quarter(number), "nummer": name}
    if is_event(number):
        event = {
            "specversion": "1.0",
            "id": str(number),
            "source": "urn:nld:oin:00000001823288444000:systeem:chaos",
            "type": TYPE,
            "subject": str(number % OBJECTS),
            "datacontenttype": "application/json",
            "data": kenmerken,
        }
        return Posting(orjson.dumps(event), EVENTS, {"Content-Type": "application/cloudevents+json"})
    message = {
        "kanaal": OBJECTEN["naam"],
        "hoofdObject": hoofd_object(number),
        "resource": "status",
        "resourceUrl": resource(number),
        "actie": "update",
        "aanmaakdatum": "2024-05-14T10:59:13Z",
        "kenmerken": kenmerken,
    }
    bulk = {"X-Batch-Id": BATCH} if is_bulk(number) else {}
    return Posting(orjson.dumps(message), headers={"Content-Type": "application/json", **bulk})


TRAFFIC = Traffic(posting, hoofd_object, resource)


def _half(number: int) -> str:
    return str(number // 16 % 2)


def _quarter(number: int) -> str:
    return str(number // 16 % 4)


def _part(
    options: Mapping[str, Any], *, half: str = "", quarter: str = "", events: Mapping[str, Any] | None = None
) -> Wanted:
    """An abonnement on a half or a quarter of all, or on all; events: and on these CloudEvents."""
    filters = {"helft": half} if half else {"kwart": quarter} if quarter else {}

    def some(number: int) -> bool:
        return half in ("", _half(number)) and quarter in ("", _quarter(number))

    if events is not None:
        options = {"cloudevents": {**options, "filters": [events]}}
    return Wanted(
        ({"naam": OBJECTEN["naam"], "filters": filters},),
        lambda number: some(number) and (not is_event(number) or events is not None),
        options=options,
    )


ABONNEMENTEN: Mapping[str, Wanted] = {
    "in-order": _part({"order": {"setAsideAfter": 3600}}, half="0"),
    "set-aside": _part({"order": {"setAsideAfter": SET_ASIDE}}, quarter="1"),
    "newest": _part({"consolidate": WINDOW}),
    "paced": _part({"rate": 60}, quarter="2"),
    "one-at-once": _part({"concurrency": 1}, quarter="3"),
    "few-at-once": _part({"concurrency": 3, "rate": 200}, half="1"),
    "events": _part(
        {"mapping": "gemma", "sequence": True},
        quarter="3",
        events={"typeSubstring": "objecten", "filters": {"kwart": "3"}},
    ),
    "events-binary": _part({"mode": "binary"}, half="0", events={"filters": {"helft": "0"}}),
    "plain": _part({}),
}
