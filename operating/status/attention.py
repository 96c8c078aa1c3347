"""What needs attention: which concerns there are, and which go first. Pure.

Urgent is what keeps notificaties from being accepted, delivered or kept, or waits for an operator's decision.
The rest can wait until day. Of several that have one cause only that is there. Whoever shows a concern tells
it in sentences, with what to do next: `nrc status` in English with a command, the console in Dutch with a
page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ledger.keeper_ledger import Gap
from ledger.values import OPERATOR
from operating.conditions import Condition
from operating.status.collecting import OfLedger, Status
from operating.status.health import Health
from schemas.abonnement import State

MOST_OF_A_KIND = 3  # abonnementen of which the same is told one by one
LONG = 3600.0  # seconds that something waits for an active abonnement before it is told
GAP_LONG = 600.0  # seconds after which a gap should have been given back
NEARLY_FULL = 0.95  # of the ledger's budget
LITTLE, VERY_LITTLE = 0.10, 0.03  # of the disk


class Code(StrEnum):
    """What a concern is about."""

    GATEWAY_AWAY = "gateway_away"
    GATEWAY_NOT_READY = "gateway_not_ready"
    GATEWAY_WARNS = "gateway_warns"
    RABBITMQ_AWAY = "rabbitmq_away"
    RABBITMQ_NOT_READY = "rabbitmq_not_ready"
    ROUTER_AWAY = "router_away"
    REGISTRY_AWAY = "registry_away"
    LEDGER_AWAY = "ledger_away"
    NO_KEEPER = "no_keeper"
    NO_DELIVERER = "no_deliverer"
    STUCK = "stuck"
    UNSURE = "unsure"
    LEDGER_NEARLY_FULL = "ledger_nearly_full"
    UNDELIVERABLE = "undeliverable"
    GAP_OF_OPERATOR = "gap_of_operator"
    GAP = "gap"
    DISK = "disk"
    HELD = "held"
    SUSPENDED = "suspended"
    WAITS_LONG = "waits_long"


@dataclass(frozen=True, slots=True)
class Concern:
    """What needs attention.

    said: what a part or a fault says. count: deliveries; or abonnementen of which the same holds, which are
    not told one by one (of: None). share: of the ledger's budget, or of the disk that is free. size: bytes
    that are free. of: an abonnement. seconds: for how long it is held, or something has waited.
    """

    code: Code
    urgent: bool = False
    said: str = ""
    count: int = 0
    share: float = 0.0
    size: int = 0
    gap: Gap | None = None
    of: Condition | None = None
    seconds: float = 0.0


def concerns(status: Status) -> list[Concern]:
    """The urgent ones first, and of a kind those that are worst."""
    found = [*_of_parts(status), *_of_ledger(status), *_of_disk(status), *_of_abonnementen(status)]
    return sorted(found, key=lambda each: not each.urgent)


def _of_parts(status: Status) -> Iterator[Concern]:
    gateway, broker = status.part("gateway"), status.part("broker")
    router, registry = status.part("router"), status.part("registry")
    away = broker.health is not Health.OK
    if gateway.health is Health.NOT_REACHABLE:
        yield Concern(Code.GATEWAY_AWAY, urgent=True, said=gateway.said)
    elif gateway.health is not Health.OK:
        yield Concern(Code.GATEWAY_NOT_READY, urgent=True, said=gateway.said)
    if broker.health is Health.NOT_REACHABLE:
        yield Concern(Code.RABBITMQ_AWAY, urgent=True, said=broker.said)
    elif away:
        yield Concern(Code.RABBITMQ_NOT_READY, urgent=True, said=broker.said)
    elif router.health is not Health.OK:
        yield Concern(Code.ROUTER_AWAY, urgent=True, said=router.said)
    if registry.health is not Health.OK:
        yield Concern(Code.REGISTRY_AWAY, urgent=True, said=registry.said)
    for warning in gateway.warnings:
        if not (away and warning.startswith("broker:")):
            yield Concern(Code.GATEWAY_WARNS, urgent=True, said=warning)


def _of_ledger(status: Status) -> Iterator[Concern]:
    ledger = status.ledger
    if ledger is None:
        yield Concern(Code.LEDGER_AWAY, urgent=True, said=status.ledger_fault)
        return
    facts = ledger.facts
    if facts.keeper is None:
        yield Concern(Code.NO_KEEPER, urgent=True)
    if not facts.living:
        yield Concern(Code.NO_DELIVERER, urgent=True)
    if facts.stuck:
        yield Concern(Code.STUCK, urgent=True, count=facts.stuck)
    if facts.unsure:
        yield Concern(Code.UNSURE, urgent=True, count=facts.unsure)
    if facts.size > NEARLY_FULL * status.ledger_budget:
        yield Concern(Code.LEDGER_NEARLY_FULL, share=facts.size / status.ledger_budget)
    yield from _of_gaps(ledger)
    if ledger.undeliverable:
        yield Concern(Code.UNDELIVERABLE, count=ledger.undeliverable)


def _of_gaps(ledger: OfLedger) -> Iterator[Concern]:
    now = ledger.facts.now
    for gap in ledger.gaps:
        if gap.why == OPERATOR and gap.closed is None:
            yield Concern(Code.GAP_OF_OPERATOR, gap=gap)
        elif now - (gap.closed or gap.opened) > GAP_LONG * 1000:
            yield Concern(Code.GAP, gap=gap)


def _of_disk(status: Status) -> Iterator[Concern]:
    disk = status.disk
    if disk is not None and disk.free < LITTLE * disk.total:
        share = disk.free / disk.total
        yield Concern(Code.DISK, urgent=share < VERY_LITTLE, share=share, size=disk.free)


def _of_abonnementen(status: Status) -> Iterator[Concern]:
    now, every = status.at, status.conditions
    held = [(each.abonnement.hold.since, each) for each in every if each.abonnement.hold is not None]
    held.sort(key=lambda one: one[0])
    yield from _each(Code.HELD, [(each, now - since) for since, each in held])
    suspended = [each for each in every if each.abonnement.state is State.SUSPENDED and each.open]
    suspended.sort(key=lambda each: each.open, reverse=True)
    yield from _each(Code.SUSPENDED, [(each, 0.0) for each in suspended])
    late = [
        (each.oldest, each)
        for each in every
        if each.abonnement.state is State.ACTIVE and each.oldest is not None and now - each.oldest > LONG
    ]
    late.sort(key=lambda one: one[0])
    yield from _each(Code.WAITS_LONG, [(each, now - oldest) for oldest, each in late])


def _each(code: Code, found: Sequence[tuple[Condition, float]]) -> Iterator[Concern]:
    """A concern for each of the first, and one for the others together."""
    for each, seconds in found[:MOST_OF_A_KIND]:
        yield Concern(code, of=each, seconds=seconds)
    if (others := len(found) - MOST_OF_A_KIND) > 0:
        yield Concern(code, count=others)
