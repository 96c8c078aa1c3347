"""What needs attention: which concerns there are, and which go first. Pure.

Urgent is what keeps notificaties from being accepted, delivered or kept, or waits for an operator's decision.
The rest can wait until day. Of several that have one cause only that is there. Whoever shows a concern tells
it in sentences, with what to do next (next_command.py): `nrc status` in English, console and alerts in Dutch
(dutch.py).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ledger.keeper_ledger import Gap
from ledger.values import OPERATOR
from operating.conditions import Condition
from operating.status.certificates import client_certificates, tls_server
from operating.status.collecting import OfLedger, Status
from operating.status.health import Health
from router.amqp_direct.queues import QueueKind, queue_of
from schemas.abonnement import State

MOST_OF_A_KIND = 3  # abonnementen of which the same is told one by one
LONG = 3600.0  # seconds that something waits for an active abonnement before it is told
GAP_LONG = 600.0  # seconds after which a gap should have been given back
NEARLY_FULL = 0.95  # of the ledger's budget
LITTLE, VERY_LITTLE = 0.10, 0.03  # of the disk
BEHIND = 60.0  # seconds that the outcomes of a deliverer are not in the ledger
OF_AC = "Autorisaties API: "  # how a gateway's warning about that begins (gateway/health.py)
EXPIRES_SOON, EXPIRES_NOW = 14 * 86400.0, 3 * 86400.0  # seconds before the end of a certificate
OWN_EXPIRES_SOON = 30 * 86400.0  # of a client certificate: whoever gets a new one may need weeks for it


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on something is a concern, in seconds.

    waits: that something waits for an active abonnement. gap: since it was opened or closed. expires: before
    the end of a callback's certificate; own_expires: of a client certificate. each: of every abonnement one,
    and what is undeliverable by abonnement; else those that are worst, and one for the others together.
    """

    waits: float = LONG
    gap: float = GAP_LONG
    expires: float = EXPIRES_SOON
    own_expires: float = OWN_EXPIRES_SOON
    each: bool = False


OF_NRC_STATUS = Limits()


class Code(StrEnum):
    """What a concern is about."""

    GATEWAY_AWAY = "gateway_away"
    GATEWAY_NOT_READY = "gateway_not_ready"
    GATEWAY_WARNS = "gateway_warns"
    AC_AWAY = "ac_away"
    RABBITMQ_AWAY = "rabbitmq_away"
    RABBITMQ_NOT_READY = "rabbitmq_not_ready"
    ROUTER_AWAY = "router_away"
    REGISTRY_AWAY = "registry_away"
    LEDGER_AWAY = "ledger_away"
    LEDGER_BEHIND = "ledger_behind"
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
    QUEUE_UNREAD = "queue_unread"
    CERTIFICATE = "certificate"
    CLIENT_CERTIFICATE = "client_certificate"
    NO_ALERTS = "no_alerts"
    ALERTS_NOT_SENT = "alerts_not_sent"


@dataclass(frozen=True, slots=True)
class Concern:
    """What needs attention.

    said: what a part or a fault says. count: deliveries, or messages; or abonnementen of which the same
    holds, which are not told one by one (of: None). share: of the ledger's budget, or of the disk that is
    free. size: bytes that are free. of: an abonnement. seconds: for how long it is held, or something has
    waited, or lasts; of a certificate, until its end (below 0: since). name: of a deliverer, a channel, a
    client certificate, or host:port.
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
    name: str = ""


def concerns(status: Status, limits: Limits = OF_NRC_STATUS) -> list[Concern]:
    """The urgent ones first, and of a kind those that are worst."""
    found = [
        *_of_parts(status),
        *_of_ledger(status, limits),
        *_of_disk(status),
        *_of_abonnementen(status, limits),
        *_of_queues(status, limits),
        *_of_certificates(status, limits),
        *_of_client_certificates(status, limits),
        *_of_alerts(status),
    ]
    return sorted(found, key=lambda each: not each.urgent)


def unknown(status: Status) -> frozenset[Code]:
    """The codes of which this status does not tell whether they are the case: a part says nothing now."""
    found: set[Code] = set()
    gateway, broker = status.part("gateway").health, status.part("broker").health
    if gateway is Health.NOT_REACHABLE:
        found |= {Code.GATEWAY_NOT_READY, Code.GATEWAY_WARNS, Code.AC_AWAY}
    elif gateway is not Health.OK:
        found |= {Code.GATEWAY_WARNS, Code.AC_AWAY}
    if broker is Health.NOT_REACHABLE:
        found |= {Code.RABBITMQ_NOT_READY, Code.QUEUE_UNREAD}
    if broker is not Health.OK:
        found |= {Code.ROUTER_AWAY}
    if status.ledger is None:
        found |= _OF_LEDGER
    if status.disk is None:
        found |= {Code.DISK}
    return frozenset(found)


_OF_LEDGER = {
    *(Code.NO_KEEPER, Code.NO_DELIVERER, Code.STUCK, Code.UNSURE, Code.LEDGER_NEARLY_FULL),
    *(Code.LEDGER_BEHIND, Code.UNDELIVERABLE, Code.GAP, Code.GAP_OF_OPERATOR, Code.SUSPENDED),
    Code.WAITS_LONG,
}


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
    elif status.registry_fault:
        yield Concern(Code.REGISTRY_AWAY, urgent=True, said=status.registry_fault)
    for warning in gateway.warnings:
        if warning.startswith(OF_AC):
            yield Concern(Code.AC_AWAY, urgent=True, said=warning.removeprefix(OF_AC))
        elif not (away and warning.startswith("broker:")):
            yield Concern(Code.GATEWAY_WARNS, urgent=True, said=warning)


def _of_ledger(status: Status, limits: Limits) -> Iterator[Concern]:
    ledger = status.ledger
    if ledger is None:
        yield Concern(Code.LEDGER_AWAY, urgent=True, said=status.ledger_fault)
        return
    facts = ledger.facts
    if facts.keeper is None:
        yield Concern(Code.NO_KEEPER, urgent=True)
    if not facts.living:
        yield Concern(Code.NO_DELIVERER, urgent=True)
    yield from _behind(ledger)
    if facts.stuck:
        yield Concern(Code.STUCK, urgent=True, count=facts.stuck)
    if facts.unsure:
        yield Concern(Code.UNSURE, urgent=True, count=facts.unsure)
    if facts.size > NEARLY_FULL * status.ledger_budget:
        yield Concern(Code.LEDGER_NEARLY_FULL, share=facts.size / status.ledger_budget)
    yield from _of_gaps(ledger, limits)
    yield from _undeliverable(status, ledger, limits)


def _behind(ledger: OfLedger) -> Iterator[Concern]:
    """Deliverers whose outcomes wait in memory: a kill of one then has callbacks get something twice."""
    now = ledger.facts.now
    for each in ledger.facts.living:
        if (seconds := (now - each.flushed_until) / 1000) > BEHIND:
            yield Concern(Code.LEDGER_BEHIND, urgent=True, seconds=seconds, name=each.name)


def _undeliverable(status: Status, ledger: OfLedger, limits: Limits) -> Iterator[Concern]:
    if not ledger.undeliverable_of:  # it was not asked by abonnement
        if ledger.undeliverable and not limits.each:
            yield Concern(Code.UNDELIVERABLE, count=ledger.undeliverable)
        return
    known = {each.abonnement.uuid: each for each in status.conditions}
    most = None if limits.each else MOST_OF_A_KIND
    found = sorted(ledger.undeliverable_of.items(), key=lambda one: -one[1])
    told = [(uuid, count) for uuid, count in found if uuid in known][:most]
    for uuid, count in told:
        yield Concern(Code.UNDELIVERABLE, count=count, of=known[uuid])
    others = sum(count for _, count in found) - sum(count for _, count in told)
    if others:
        yield Concern(Code.UNDELIVERABLE, count=others)


def _of_gaps(ledger: OfLedger, limits: Limits) -> Iterator[Concern]:
    now = ledger.facts.now
    for gap in ledger.gaps:
        if gap.why == OPERATOR and gap.closed is None:
            yield Concern(Code.GAP_OF_OPERATOR, gap=gap)
        elif now - (gap.closed or gap.opened) >= limits.gap * 1000:
            yield Concern(Code.GAP, gap=gap)


def _of_disk(status: Status) -> Iterator[Concern]:
    disk = status.disk
    if disk is not None and disk.free < LITTLE * disk.total:
        share = disk.free / disk.total
        yield Concern(Code.DISK, urgent=share < VERY_LITTLE, share=share, size=disk.free)


def _of_abonnementen(status: Status, limits: Limits) -> Iterator[Concern]:
    now, every = status.at, status.conditions
    held = [(each.abonnement.hold.since, each) for each in every if each.abonnement.hold is not None]
    held.sort(key=lambda one: one[0])
    most = None if limits.each else MOST_OF_A_KIND
    yield from _each(Code.HELD, [(each, now - since) for since, each in held], most=most)
    suspended = [each for each in every if each.abonnement.state is State.SUSPENDED and each.open]
    suspended.sort(key=lambda each: each.open, reverse=True)
    yield from _each(Code.SUSPENDED, [(each, 0.0) for each in suspended], most=most)
    late = [
        (each.oldest, each)
        for each in every
        if each.abonnement.state is State.ACTIVE
        and each.oldest is not None
        and now - each.oldest > limits.waits
    ]
    late.sort(key=lambda one: one[0])
    yield from _each(Code.WAITS_LONG, [(each, now - oldest) for oldest, each in late], most=most)


def _of_queues(status: Status, limits: Limits) -> Iterator[Concern]:
    """Queues in RabbitMQ that their consumers do not read; of a stream what was read stays in it."""
    found = [
        (depth.messages, each)
        for each in status.conditions
        if each.abonnement.is_amqp
        and (depth := status.queues.get(each.abonnement.uuid)) is not None
        and depth.messages
        and not depth.consumers
        and queue_of(each.abonnement.callback_url).kind is QueueKind.QUORUM
    ]
    found.sort(key=lambda one: one[0], reverse=True)
    most = len(found) if limits.each else MOST_OF_A_KIND
    for messages, each in found[:most]:
        yield Concern(Code.QUEUE_UNREAD, of=each, count=messages)
    if others := len(found[most:]):
        yield Concern(Code.QUEUE_UNREAD, count=others)


def _each(code: Code, found: Sequence[tuple[Condition, float]], *, most: int | None) -> Iterator[Concern]:
    """A concern for each of the first, and one for the others together."""
    for each, seconds in found[:most]:
        yield Concern(code, of=each, seconds=seconds)
    if most is not None and (others := len(found) - most) > 0:
        yield Concern(code, count=others)


def _of_certificates(status: Status, limits: Limits) -> Iterator[Concern]:
    """Of each server with an active or held abonnement, the one that ends first at the beginning."""
    users: dict[tuple[str, int], list[Condition]] = defaultdict(list)
    for each in status.conditions:
        if (server := tls_server(each.abonnement)) is not None:
            users[server].append(each)
    ends = {(each.host, each.port): each.ends for each in status.certificates}
    found = sorted((ends.get(server) or math.inf, server) for server in users)
    for end, server in found:
        if (left := end - status.at) > limits.expires:
            return
        yield _expiring(Code.CERTIFICATE, f"{server[0]}:{server[1]}", users[server], left=left)


def _of_client_certificates(status: Status, limits: Limits) -> Iterator[Concern]:
    """Of each that goes to an active or held abonnement, the one that ends first at the beginning."""
    found = sorted(client_certificates(status.conditions).items(), key=lambda one: one[0].ends)
    for facts, of in found:
        if (left := facts.ends - status.at) > limits.own_expires:
            return
        name = f"{facts.name} ({facts.fingerprint[:8]})"
        yield _expiring(Code.CLIENT_CERTIFICATE, name, of, left=left)


def _expiring(code: Code, name: str, of: Sequence[Condition], *, left: float) -> Concern:
    """Of a certificate that ends in `left` seconds, for these abonnementen."""
    return Concern(code, left < EXPIRES_NOW, count=len(of), of=of[0], seconds=left, name=name)


def _of_alerts(status: Status) -> Iterator[Concern]:
    alerts = status.alerts
    if alerts is None:
        return
    if alerts.channels and alerts.lease is None:
        yield Concern(Code.NO_ALERTS)
    for channel, sending in alerts.sending.items():
        if channel in alerts.channels and sending.failing_since is not None:
            yield Concern(
                *(Code.ALERTS_NOT_SENT, False),
                said=sending.error,
                count=sending.waiting,
                seconds=status.at - sending.failing_since,
                name=channel.value,
            )
