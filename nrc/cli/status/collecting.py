"""Collects everything that is known of the system now: each part is asked at once, and for a few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from nrc.cli.connecting import local_root, opened_ledger, opened_link, opened_registry
from nrc.cli.operating.parts_health import parts_of
from operating.conditions import conditions_of
from operating.status.collecting import (
    OfAlerts,
    OfLedger,
    Status,
    disk_of,
    read_alerts,
    read_ledger,
    read_queues,
)
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.errors import NrcError

if TYPE_CHECKING:
    from uuid import UUID

    from aio_pika.abc import AbstractConnection

    from router.queue_depth import Depth
    from store.alerts import Certificate
    from store.registry import LastFailure

T = TypeVar("T")

WITHIN = 8.0  # seconds for what is read of registry and ledger


async def collect(settings: Settings) -> Status:
    """All of it. Raises UsageError where there is no registry."""
    parts, registry, ledger = await asyncio.gather(
        parts_of(settings, local_root(settings)),
        _tried(lambda: _registry(settings)),
        _tried(lambda: _ledger(settings)),
    )
    of_registry = _OfRegistry() if isinstance(registry, str) else registry
    told = None if isinstance(ledger, str) else ledger
    return Status(
        at=time.time(),
        parts=parts,
        conditions=conditions_of(
            of_registry.abonnementen, of_registry.failures, None if told is None else told.backlogs
        ),
        ledger=told,
        ledger_fault=ledger if isinstance(ledger, str) else "",
        ledger_budget=settings.ledger_budget,
        disk=disk_of(settings),
        disk_of_server=settings.on_postgresql,
        private=not settings.amqp_url,
        certificates=of_registry.certificates,
        alerts=of_registry.alerts,
        registry_fault=registry if isinstance(registry, str) else "",
        queues=await _queues(settings, of_registry.abonnementen),
    )


async def _queues(settings: Settings, abonnementen: Sequence[Abonnement]) -> Mapping[UUID, Depth]:
    """What is in the queues that consumers read; no connection is opened where there are none."""
    async with AsyncExitStack() as opened:

        async def connected() -> AbstractConnection:
            link = await opened.enter_async_context(opened_link(settings))
            return await link.connected(within=WITHIN)

        return await read_queues(connected, abonnementen)


async def _tried(read: Callable[[], Awaitable[T]]) -> T | str:
    """What it gives, or why it gives nothing."""
    try:
        async with asyncio.timeout(WITHIN):
            return await read()
    except TimeoutError:
        return f"no answer within {WITHIN:g} s"
    except (NrcError, OSError) as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class _OfRegistry:
    abonnementen: Sequence[Abonnement] = ()
    failures: Mapping[UUID, LastFailure] = field(default_factory=dict)
    alerts: OfAlerts | None = None
    certificates: Sequence[Certificate] = ()


async def _registry(settings: Settings) -> _OfRegistry:
    async with opened_registry(settings) as opened:
        abonnementen = list(opened.catalogue.everyone.values())
        failures = await opened.registry.last_failures()
        return _OfRegistry(abonnementen, failures, *await read_alerts(opened.registry))


async def _ledger(settings: Settings) -> OfLedger:
    from ledger.opening import ledger_place

    async with opened_ledger(settings) as ledger:
        return await read_ledger(ledger, file=ledger_place(settings))
