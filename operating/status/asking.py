"""Asks everything that is known of the system, for a process that has registry, ledger and RabbitMQ open.

What a part says of itself while it is well is in Dutch: the console shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.explaining.dutch import number
from ledger.opening import ledger_place
from ledger.reopening import ReadLedger
from operating.conditions import conditions_of
from operating.status.collecting import OfLedger, Status, disk_of, read_alerts, read_ledger, read_queues
from operating.status.health import Part, check_broker, of_process, part, routers_at_work
from router.catalogue import Catalogue
from runtime.amqp import Link
from runtime.listening import reached_at
from runtime.settings import Settings
from schemas.errors import LedgerError
from store.registry import Registry

CONNECTED_WITHIN = 1.0  # seconds in which the connection to RabbitMQ must be there


@dataclass(frozen=True, slots=True)
class Sources:
    """What is asked. catalogue: this process's copy of the registry, as fresh as the caller needs it."""

    settings: Settings
    registry: Registry
    catalogue: Catalogue
    ledger: ReadLedger
    link: Link


async def ask_all(of: Sources, *, now: float, each: bool = False) -> Status:
    """All of it. now: Unix seconds. each: as of `read_ledger`. Raises RegistryError."""
    settings, catalogue = of.settings, of.catalogue
    failures = await of.registry.last_failures()
    alerts, certificates = await read_alerts(of.registry)
    parts, ledger = await asyncio.gather(_parts(of), _ledger(of, each=each))
    told = None if isinstance(ledger, str) else ledger
    return Status(
        at=now,
        parts=parts,
        conditions=conditions_of(
            [*catalogue.everyone.values()], failures, None if told is None else told.backlogs
        ),
        ledger=told,
        ledger_fault=ledger if isinstance(ledger, str) else "",
        ledger_budget=settings.ledger_budget,
        disk=disk_of(settings),
        private=False,
        certificates=certificates,
        alerts=alerts,
        queues=await read_queues(
            lambda: of.link.connected(within=CONNECTED_WITHIN), catalogue.abonnementen.values()
        ),
    )


async def _parts(of: Sources) -> list[Part]:
    settings, link = of.settings, of.link
    root = settings.public_url or str(reached_at(settings.gateway_listen)).rstrip("/")

    async def broker() -> Sequence[str]:
        connection = await link.connected(within=CONNECTED_WITHIN)
        await check_broker(connection, advice="`nrc health` zegt welke opdracht dat herstelt.")
        return ["verbonden"]

    async def router() -> Sequence[str]:
        connection = await link.connected(within=CONNECTED_WITHIN)
        return [f"{number(await routers_at_work(connection))} aan het werk"]

    async def registry() -> Sequence[str]:
        return [f"wijziging {number(await of.registry.change_number())}"]

    return list(
        await asyncio.gather(
            part("gateway", lambda: of_process(root)),
            part("broker", broker),
            part("router", router),
            part("registry", registry),
        )
    )


async def _ledger(of: Sources, *, each: bool) -> OfLedger | str:
    """What the ledger tells, or why it tells nothing."""
    try:
        place = ledger_place(of.settings)
        return await read_ledger(await of.ledger.get(), file=place, each=each)
    except LedgerError as error:
        return str(error)
