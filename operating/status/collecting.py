"""Everything that is known of the system at a moment. What a part does not tell is left out, with why."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.durations import Counts, added
from ledger.values import Backlog, Minute, State
from operating.conditions import Condition
from operating.status.health import Part
from operating.status.lane import Bulk, bulk_of
from router.names import amqp_queue
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.errors import BrokerError

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection

    from ledger.keeper_ledger import Facts, Gap, InLane
    from ledger.ledger import Ledger
    from router.queue_depth import Depth
    from schemas.alert import Channel
    from store.alerts import AlertLease, Certificate, Sending
    from store.registry import Registry

HOUR = 3_600_000  # milliseconds
QUEUES_WITHIN = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class OfLedger:
    """What the ledger tells. minutes: of the last hour. gaps: those that are not done. file: where it is.

    undeliverable_of: by abonnement, where that was asked for. lane: as of `KeeperLedger.in_lane`.
    """

    facts: Facts
    gaps: Sequence[Gap]
    backlogs: Mapping[UUID, Backlog]
    undeliverable: int
    minutes: Sequence[Minute]
    file: str
    undeliverable_of: Mapping[UUID, int] = field(default_factory=dict)
    lane: Mapping[UUID, InLane] = field(default_factory=dict)

    @property
    def bulk(self) -> Bulk | None:
        """What waits in the lane for bulk, in short."""
        return bulk_of(self.facts, self.lane)

    def counted(self, *, minutes: int) -> Counted:
        """What was counted in the last so many minutes, and in the one that is not over."""
        since = self.facts.now - self.facts.now % 60_000 - minutes * 60_000
        counted = [each for each in self.minutes if each.at >= since]

        def came_to(state: State) -> int:
            return sum(each.came_to.get(state, 0) for each in counted)

        return Counted(
            accepted=sum(each.accepted for each in counted),
            delivered=came_to(State.DELIVERED),
            failed=came_to(State.RETRYING),
            undeliverable=came_to(State.UNDELIVERABLE),
            given_back=came_to(State.RETURNING),
            sent_again=sum(each.asked_for for each in counted),
            took=added(each.took for each in counted),
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """What happened in some time. failed: attempts that have another. given_back: what RabbitMQ lost.

    sent_again: by operators, and by replays. took: as of values.Minute.
    """

    accepted: int
    delivered: int
    failed: int
    undeliverable: int
    given_back: int
    sent_again: int
    took: Counts


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that registry and ledger are on, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class OfAlerts:
    """How alerts are sent. channels: those that are set and on. lease: None while no process sends."""

    channels: Sequence[Channel]
    lease: AlertLease | None
    sending: Mapping[Channel, Sending]


@dataclass(frozen=True, slots=True)
class Status:
    """What is known at a moment (Unix seconds). ledger None: `ledger_fault` says why it tells nothing.

    registry_fault: why the abonnementen are not known, when the registry did not tell them; else "".
    parts: gateway, broker, router and registry. ledger_budget: bytes. private: RabbitMQ is that of `nrc up`.
    certificates: of callbacks. alerts: None when the registry does not tell. disk: None when that is not
    known; disk_of_server: it is the database server's. queues: that consumers read in RabbitMQ, by
    abonnement, as far as RabbitMQ tells.
    """

    at: float
    parts: Sequence[Part]
    conditions: Sequence[Condition]
    ledger: OfLedger | None
    ledger_fault: str
    ledger_budget: int
    disk: Disk | None
    private: bool
    certificates: Sequence[Certificate] = ()
    alerts: OfAlerts | None = None
    disk_of_server: bool = False
    registry_fault: str = ""
    queues: Mapping[UUID, Depth] = field(default_factory=dict)

    def part(self, name: str) -> Part:
        """One of the parts."""
        return next(each for each in self.parts if each.name == name)


async def read_queues(
    connected: Callable[[], Awaitable[AbstractConnection]], abonnementen: Iterable[Abonnement]
) -> Mapping[UUID, Depth]:
    """What is in the queues that consumers read; none where there are none, or RabbitMQ does not answer."""
    from router.queue_depth import depths

    of = {amqp_queue(each.uuid): each.uuid for each in abonnementen if each.is_amqp}
    if not of:
        return {}
    try:
        async with asyncio.timeout(QUEUES_WITHIN):
            found = await depths(await connected(), of)
    except (BrokerError, TimeoutError):  # told as what RabbitMQ itself lacks
        return {}
    return {of[queue]: depth for queue, depth in found.items() if depth is not None}


async def read_ledger(ledger: Ledger, *, file: str, each: bool = False) -> OfLedger:
    """What the ledger tells now. file: where it is. each: of each abonnement too. Raises LedgerError."""
    facts = await ledger.keeping.facts()
    return OfLedger(
        facts=facts,
        gaps=await ledger.keeping.gaps(done=False),
        backlogs=await ledger.backlogs(),
        undeliverable=await ledger.undeliverable_count(),
        minutes=await ledger.per_minute(since=facts.now - HOUR - 60_000),
        file=file,
        undeliverable_of=await ledger.undeliverable_counts() if each else {},
        lane=await ledger.keeping.in_lane() if facts.lane else {},
    )


async def read_alerts(registry: Registry) -> tuple[OfAlerts, Sequence[Certificate]]:
    """How alerts are sent, and the certificates of callbacks. Raises RegistryError."""
    alerts = registry.alerts
    settings = await alerts.settings()
    of = OfAlerts(settings.channels, await alerts.lease(), await alerts.sending())
    return of, await alerts.certificates()


def disk_of(settings: Settings) -> Disk | None:
    """The disk that registry and ledger are on; None when that is not known, or a database server's."""
    if settings.on_postgresql:
        return None
    try:
        usage = shutil.disk_usage(settings.registry_file.absolute().parent)
    except OSError:
        return None
    return Disk(usage.free, usage.total)
