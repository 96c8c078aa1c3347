"""What needs attention, in sentences, each with the command that comes next. Pure.

Urgent is what keeps notificaties from being accepted, delivered or kept, or waits for an operator's decision.
The rest can wait until day. Of several that have one cause only that is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ledger.values import OPERATOR
from nrc.cli.operating.parts_health import Part
from nrc.cli.registry.condition import last_error
from nrc.cli.status.collecting import OfLedger, Status
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import age, moment
from nrc.exits import Exit
from operating.conditions import Condition
from schemas.abonnement import State

MOST_OF_A_KIND = 3  # abonnementen of which the same is told one by one
LONG = 3600.0  # seconds that something waits for an active abonnement before it is told
GAP_LONG = 600.0  # seconds after which a gap should have been given back
NEARLY_FULL = 0.95  # of the ledger's budget
LITTLE, VERY_LITTLE = 0.10, 0.03  # of the disk


@dataclass(frozen=True, slots=True)
class Concern:
    """What needs attention. next: the command that comes next. code: for scripts."""

    code: str
    text: str
    next: str
    urgent: bool = False


def concerns(status: Status) -> list[Concern]:
    """The urgent ones first, and of a kind those that are worst."""
    found = [*_of_parts(status), *_of_ledger(status), *_of_disk(status), *_of_abonnementen(status)]
    return sorted(found, key=lambda each: not each.urgent)


def _of_parts(status: Status) -> Iterator[Concern]:
    gateway, broker = status.part("gateway"), status.part("broker")
    router, registry = status.part("router"), status.part("registry")
    away = broker.exit is not Exit.OK
    if gateway.exit is Exit.NOT_REACHABLE:
        text = f"No gateway answers here, so nothing is accepted: {gateway.said}."
        yield Concern("gateway_away", text, "nrc up, or: nrc gateway", urgent=True)
    elif gateway.exit is not Exit.OK:
        text = f"The gateway is not ready, and publishers get 503: {gateway.said}."
        yield Concern("gateway_not_ready", text, "nrc health", urgent=True)
    if broker.exit is Exit.NOT_REACHABLE:
        text = f"RabbitMQ cannot be reached, so nothing is delivered: {broker.said}."
        then = "nrc up" if status.private else "rabbitmq-diagnostics check_running, on its host"
        yield Concern("rabbitmq_away", text, then, urgent=True)
    elif away:
        yield Concern("rabbitmq_not_ready", f"RabbitMQ: {broker.said}.", "nrc health", urgent=True)
    elif router.exit is not Exit.OK:
        text = f"No kanaal or abonnement can be made or changed: {router.said}."
        yield Concern("router_away", text, "nrc router", urgent=True)
    if registry.exit is not Exit.OK:
        text = f"The registry cannot be read: {registry.said}."
        yield Concern("registry_away", text, "nrc health", urgent=True)
    for warning in gateway.warnings:
        if not (away and warning.startswith("broker:")):
            yield Concern("gateway_warns", f"The gateway warns: {warning}.", "nrc health", urgent=True)


def _of_ledger(status: Status) -> Iterator[Concern]:
    ledger = status.ledger
    if ledger is None:
        text = f"The ledger cannot be read: {status.ledger_fault}."
        yield Concern("ledger_away", text, "nrc ledger status", urgent=True)
        return
    facts = ledger.facts
    if facts.keeper is None:
        text = "No keeper of the ledger works: what RabbitMQ loses is not given back."
        yield Concern("no_keeper", text, "nrc ledger", urgent=True)
    if not facts.living:
        text = "No deliverer was heard of in the last 15 s: nothing is delivered."
        yield Concern("no_deliverer", text, "nrc deliverer", urgent=True)
    if facts.stuck:
        what = _deliveries(facts.stuck, "was", "were")
        text = f"{what} given back three times and lost again; nothing more is tried."
        yield Concern("stuck", text, "nrc notificaties list --state stuck", urgent=True)
    if facts.unsure:
        what = _deliveries(facts.unsure, "was", "were")
        text = f"{what} open in an older copy of the ledger: decide whether they are sent."
        yield Concern("unsure", text, "nrc ledger audit", urgent=True)
    if facts.size > NEARLY_FULL * status.ledger_budget:
        text = f"The ledger uses {facts.size / status.ledger_budget:.0%} of NRC_LEDGER_BUDGET."
        yield Concern("ledger_nearly_full", text, "nrc ledger status")
    yield from _of_gaps(ledger)
    if ledger.undeliverable:
        what = _deliveries(ledger.undeliverable, "is", "are")
        text = f"{what} undeliverable until somebody sends again what can be, and removes the rest."
        yield Concern("undeliverable", text, "nrc undeliverable list")


def _of_gaps(ledger: OfLedger) -> Iterator[Concern]:
    now = ledger.facts.now
    for gap in ledger.gaps:
        of = " ".join((gap.scope, gap.of)).strip()
        if gap.why == OPERATOR and gap.closed is None:
            text = f"Gap {gap.nr} ({of}) is open since {moment(gap.opened / 1000)}, by an operator."
            yield Concern("gap_of_operator", text, f"nrc ledger gaps close {gap.nr}")
        elif now - (gap.closed or gap.opened) > GAP_LONG * 1000:
            text = f"What RabbitMQ lost in gap {gap.nr} ({of}) is not all given back yet."
            yield Concern("gap", text, "nrc ledger gaps")


def _of_disk(status: Status) -> Iterator[Concern]:
    disk = status.disk
    if disk is not None and disk.free < LITTLE * disk.total:
        left = f"{disk.free / 1_000_000_000:.1f} GB, {disk.free / disk.total:.0%}"
        text = f"The disk of registry and ledger has {left} free."
        yield Concern("disk", text, "df -h", urgent=disk.free < VERY_LITTLE * disk.total)


def _of_abonnementen(status: Status) -> Iterator[Concern]:
    now, every = status.at, status.conditions
    held = [(each.abonnement.hold.since, each) for each in every if each.abonnement.hold is not None]
    held.sort(key=lambda one: one[0])
    yield from _each("held", [(each, _held(each, now - since)) for since, each in held])
    suspended = [each for each in every if each.abonnement.state is State.SUSPENDED and each.open]
    suspended.sort(key=lambda each: each.open, reverse=True)
    yield from _each("suspended", [(each, _suspended(each)) for each in suspended], then="resume")
    late = [
        (each.oldest, each)
        for each in every
        if each.abonnement.state is State.ACTIVE and each.oldest is not None and now - each.oldest > LONG
    ]
    late.sort(key=lambda one: one[0])
    yield from _each("waits_long", [(each, _late(each, now - oldest)) for oldest, each in late])


def _each(code: str, told: Sequence[tuple[Condition, str]], *, then: str = "show") -> Iterator[Concern]:
    """A concern for each of the first, and one for the others together."""
    for each, text in told[:MOST_OF_A_KIND]:
        yield Concern(code, text, f"nrc abonnement {then} {ids.short(each.abonnement.uuid)}")
    if (others := len(told) - MOST_OF_A_KIND) > 0:
        of_them = "1 other abonnement" if others == 1 else f"{others} other abonnementen"
        yield Concern(code, f"The same of {of_them}.", "nrc abonnement list")


def _held(each: Condition, seconds: float) -> str:
    why = each.abonnement.state_reason
    return f"The callback of {_whose(each)} has not worked for {age(seconds)} ({why}); {_wait(each)}."


def _suspended(each: Condition) -> str:
    why = f" ({each.abonnement.state_reason})" if each.abonnement.state_reason else ""
    return f"Abonnement {_whose(each)} is suspended{why}; {_wait(each)}. Once its consumer has mended it:"


def _late(each: Condition, seconds: float) -> str:
    error = f"; its last failure: {last_error(each)}" if each.last_failure else ""
    return f"A notificatie has waited for {age(seconds)} for {_whose(each)}{error}."


def _whose(each: Condition) -> str:
    return f"{ids.short(each.abonnement.uuid)} of {each.abonnement.client_id}"


def _wait(each: Condition) -> str:
    if each.waiting is None:
        return "what waits for it is not known"
    count = each.open
    return "1 notificatie waits" if count == 1 else f"{count} notificaties wait"


def _deliveries(count: int, one: str, more: str) -> str:
    return f"1 delivery {one}" if count == 1 else f"{count} deliveries {more}"


def worst_of(status: Status, found: list[Concern]) -> Exit:
    """The exit code: OK when nothing urgent was found, NOT_REACHABLE when something could not be asked."""
    parts: list[Part] = [each for each in status.parts if each.exit is Exit.NOT_REACHABLE]
    if parts or status.ledger is None:
        return Exit.NOT_REACHABLE
    return Exit.FAILED if any(each.urgent for each in found) else Exit.OK
