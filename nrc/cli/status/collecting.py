"""Everything that is known of the system now: each part is asked at once, and for a few seconds at most.

What a part does not tell is left out, with why. Computes nothing: others do (parts_health.py, condition.py,
the ledger).
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ledger.values import Backlog, Minute, State
from nrc.cli.connecting import local_root, opened_ledger, opened_registry
from nrc.cli.operating.parts_health import Part, parts_of
from operating.conditions import Condition, conditions_of
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.errors import NrcError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ledger.keeper_ledger import Facts, Gap
    from store.registry import LastFailure

T = TypeVar("T")

WITHIN = 8.0  # seconds for what is read of registry and ledger
HOUR = 3_600_000  # milliseconds


@dataclass(frozen=True, slots=True)
class OfLedger:
    """What the ledger tells. minutes: of the last hour. gaps: those that are not done. file: where it is."""

    facts: Facts
    gaps: Sequence[Gap]
    backlogs: Mapping[UUID, Backlog]
    undeliverable: int
    minutes: Sequence[Minute]
    file: str

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
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """What happened in some time. failed: attempts that have another."""

    accepted: int
    delivered: int
    failed: int
    undeliverable: int
    given_back: int


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that registry and ledger are on, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Status:
    """What is known at a moment (Unix seconds). ledger None: `ledger_fault` says why it tells nothing.

    parts: gateway, broker, router and registry. ledger_budget: bytes. private: RabbitMQ is that of `nrc up`.
    """

    at: float
    parts: Sequence[Part]
    conditions: Sequence[Condition]
    ledger: OfLedger | None
    ledger_fault: str
    ledger_budget: int
    disk: Disk | None
    private: bool

    def part(self, name: str) -> Part:
        """One of the parts."""
        return next(each for each in self.parts if each.name == name)


async def collect(settings: Settings) -> Status:
    """All of it. Raises UsageError where there is no registry."""
    parts, registry, ledger = await asyncio.gather(
        parts_of(settings, local_root(settings)),
        _tried(lambda: _registry(settings)),
        _tried(lambda: _ledger(settings)),
    )
    abonnementen, failures = ([], {}) if isinstance(registry, str) else registry
    told = None if isinstance(ledger, str) else ledger
    return Status(
        at=time.time(),
        parts=parts,
        conditions=conditions_of(abonnementen, failures, None if told is None else told.backlogs),
        ledger=told,
        ledger_fault=ledger if isinstance(ledger, str) else "",
        ledger_budget=settings.ledger_budget,
        disk=_disk(settings),
        private=not settings.amqp_url,
    )


async def _tried(read: Callable[[], Awaitable[T]]) -> T | str:
    """What it gives, or why it gives nothing."""
    try:
        async with asyncio.timeout(WITHIN):
            return await read()
    except TimeoutError:
        return f"no answer within {WITHIN:g} s"
    except (NrcError, OSError) as error:
        return str(error)


async def _registry(settings: Settings) -> tuple[list[Abonnement], Mapping[UUID, LastFailure]]:
    async with opened_registry(settings) as opened:
        return list(opened.catalogue.abonnementen.values()), await opened.registry.last_failures()


async def _ledger(settings: Settings) -> OfLedger:
    from ledger.opening import ledger_file

    async with opened_ledger(settings) as ledger:
        facts = await ledger.keeping.facts()
        return OfLedger(
            facts=facts,
            gaps=await ledger.keeping.gaps(done=False),
            backlogs=await ledger.backlogs(),
            undeliverable=await ledger.undeliverable_count(),
            minutes=await ledger.per_minute(since=facts.now - HOUR - 60_000),
            file=str(ledger_file(settings).absolute()),
        )


def _disk(settings: Settings) -> Disk | None:
    try:
        usage = shutil.disk_usage(settings.registry_file.absolute().parent)
    except OSError:
        return None
    return Disk(usage.free, usage.total)
