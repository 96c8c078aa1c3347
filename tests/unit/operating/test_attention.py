"""Whose notificaties are undeliverable, where the ledger was asked for that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

from ledger.keeper_ledger import Facts
from operating.conditions import Condition
from operating.status.attention import MOST_OF_A_KIND, Code, Limits, concerns
from operating.status.collecting import OfLedger, Status
from operating.status.health import Health, Part
from tests.make import an_abonnement

FACTS = Facts(
    now=1, open=(0, 0), unrouted=0, returning=0, stuck=0, unsure=0, size=0, lease=None, processes=()
)
KNOWN = [Condition(replace(an_abonnement(("zaken", {})), uuid=uuid4())) for _ in range(5)]


def undeliverable(counts: dict[Any, int], *, each: bool = False) -> list[tuple[Any, int]]:
    """(abonnement, count) of what is told."""
    ledger = OfLedger(FACTS, [], {}, 99, [], "", counts)
    parts = [Part(name, Health.OK, "") for name in ("gateway", "broker", "router", "registry")]
    status = Status(1.0, parts, KNOWN, ledger, "", 10**9, None, False)
    found = [one for one in concerns(status, Limits(each=each)) if one.code is Code.UNDELIVERABLE]
    return [(None if one.of is None else one.of.abonnement.uuid, one.count) for one in found]


def test_the_abonnementen_with_most_are_named_and_the_others_counted_together() -> None:
    uuids = [each.abonnement.uuid for each in KNOWN]
    counts = {uuid: number for number, uuid in enumerate(uuids, 1)}
    assert undeliverable({**counts, uuid4(): 7}) == [
        *((uuid, counts[uuid]) for uuid in reversed(uuids[-MOST_OF_A_KIND:])),
        (None, 1 + 2 + 7),
    ]
    assert undeliverable({uuids[0]: 2}) == [(uuids[0], 2)]
    assert len(undeliverable(counts, each=True)) == len(uuids)


def test_who_did_not_ask_by_abonnement_gets_the_sum() -> None:
    assert undeliverable({}) == [(None, 99)]
