"""What the active router does when asked: one function per request, and the guard around them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from typing import Any, Protocol
from uuid import UUID

import orjson
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from router import names
from router.catalogue import Catalogue
from router.declaring.declarer import Declarer
from router.declaring.existence import Thing
from router.declaring.losses import Losses
from router.declaring.reconcile import Reconcile
from router.topology import FixedTopology, of_kanaal
from runtime.amqp import AMQP_ERRORS, describe
from runtime.log import logger
from schemas.abonnement import FilterGroup
from schemas.errors import BrokerUnfit, NrcError, QueueRefused
from store.registry import Registry

SECOND_LOOK = 0.5  # seconds
BETWEEN_HINTS = 0.05  # seconds; each has every process look at the registry

log = logger(__name__)


class Outbox(Protocol):
    """Where answers and announcements go."""

    async def send(self, routing_key: str, value: Any, *, exchange: str = "", number: str = "") -> None: ...


class Work:
    """Answers the requests of `router.requests` on one connection.

    gone: UUIDs of abonnementen that were removed (kept up by the owner). `unfit` gets the exception when
    RabbitMQ cannot be used at all. `active` is set with the first request: no other router gets any until
    this connection is gone.
    """

    def __init__(
        self,
        *,
        declarer: Declarer,
        registry: Registry,
        catalogue: Catalogue,
        fixed: FixedTopology,
        outbox: Outbox,
        gone: set[UUID],
        losses: Losses,
    ) -> None:
        self._declarer = declarer
        self._catalogue = catalogue
        self._outbox = outbox
        self._gone = gone
        self._losses = losses
        self._reconcile = Reconcile(
            declarer=declarer, registry=registry, catalogue=catalogue, fixed=fixed, losses=losses
        )
        self._registry = registry
        self._one_reconcile = asyncio.Lock()
        self._one_kanaal = asyncio.Lock()
        self._announcing: asyncio.Task[None] | None = None
        self._announced = 0.0
        self._activating = asyncio.Lock()
        self.active = asyncio.Event()
        self.unfit: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handle(self, message: AbstractIncomingMessage) -> None:
        """Do what is asked, answer, acknowledge; a router that dies before leaves it to the next."""
        try:
            request = orjson.loads(message.body)
            await self._become_active(request)
            answer = await self._do(request)
        except BrokerUnfit as error:
            answer = {"error": str(error)}
            if not self.unfit.done():
                self.unfit.set_exception(error)
        except QueueRefused as error:
            answer = {"error": str(error), "refused": True}
        except (NrcError, *AMQP_ERRORS) as error:
            reason = str(error) if isinstance(error, NrcError) else describe(error)
            log.warning("could not do what was asked", reason=reason)
            answer = {"error": reason}
        except (ValueError, KeyError, TypeError) as error:
            log.error("request is not understood", reason=describe(error))
            answer = {"error": "request is not understood"}
        if message.reply_to:
            await self._outbox.send(message.reply_to, answer, number=message.correlation_id or "")
        with suppress(*AMQP_ERRORS):
            await message.ack()

    async def _become_active(self, request: Mapping[str, Any]) -> None:
        async with self._activating:
            if self.active.is_set():
                return
            await self._declarer.remove_leaderless()
            self.active.set()
        if request["do"] != "reconcile":
            # Another router was active until now, perhaps one of an older version.
            await self._outbox.send(names.REQUESTS, {"do": "reconcile", "dry_run": False})

    async def _do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "kanaal":
                await self._kanaal(request["naam"])
            case "abonnement":
                uuid = UUID(request["uuid"])
                if "kanalen" in request:
                    self._declarer.prepare(uuid, _groups(request["kanalen"]))
                if not await self.abonnement(uuid):
                    return {}
            case "reconcile":
                return {"lines": await self._compare(dry_run=request["dry_run"])}
            case "ping":
                return {}
            case "watch":
                await self._watch()
                return {}
            case "announce":
                await self._catalogue.refresh()
                await self._announce()
                return {}
            case other:
                raise ValueError(f"unknown request {other!r}")
        self._announce_soon()
        return {}

    def _announce_soon(self) -> None:
        """At once, or when the last announcement was a moment ago: one for all changes since."""
        if self._announcing is None:
            self._announcing = asyncio.create_task(self._announce_later(), name="announcing")

    async def _announce_later(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._announced + BETWEEN_HINTS - loop.time()))
        self._announced, self._announcing = loop.time(), None
        await self._announce()

    async def _announce(self) -> None:
        await self._outbox.send("", {"change": self._catalogue.number}, exchange=names.CHANGES)

    async def _kanaal(self, naam: str) -> None:
        """Its exchange; when the one that it had was deleted, with every binding.

        Slots that were added need no new bindings at once: those made before are wider, so they stay right.
        """
        async with self._one_kanaal:
            await self._catalogue.refresh()
            if (kanaal := self._catalogue.kanalen.get(naam)) is not None:
                exchange = Thing.exchange(of_kanaal(kanaal).name)
                await self._reconcile.repair(await self._declarer.missing([exchange]))

    async def abonnement(self, uuid: UUID) -> bool:
        """Whether it is there: its queue and bindings stand. When it is gone, so are these.

        Raises NrcError or AMQP_ERRORS.
        """
        await self._catalogue.refresh()
        try:
            stands = await self._declared(uuid)
        except QueueRefused as error:
            self._declarer.refusals.refused(uuid, error)
            raise
        if stands:
            return True
        # First: deliverers leave the queue, and give back what they have not begun with.
        await self._announce()
        await self._declarer.remove_abonnement(uuid)
        return False

    async def _declared(self, uuid: UUID) -> bool:
        try:
            return await self._declarer.declare_abonnement(uuid)
        except ChannelNotFoundEntity:
            # Something that it is bound to was deleted by hand.
            await self._compare(dry_run=False)
            return await self._declarer.declare_abonnement(uuid)

    async def _watch(self) -> None:
        """Declare again what was deleted by hand: the abonnementen that miss something, or all at once."""
        if self._one_reconcile.locked():
            return  # a comparison comes to all that is missing
        missing = await self._missing()
        if missing:
            # What was asked for a moment ago may be about to be declared.
            await asyncio.sleep(SECOND_LOOK)
            missing &= await self._missing()
        if not missing:
            return
        # A kanaal that got filters gives its abonnementen other markers.
        deleted = {thing for thing in missing - self._refused() if not names.marked(thing.name)}
        if deleted:
            log.warning(
                "deleted by hand, declared again", missing=sorted(thing.name for thing in deleted)[:20]
            )
        await self._reconcile.repair(missing)
        if await self._missing() - self._refused():
            await self._compare(dry_run=False)

    def _refused(self) -> set[Thing]:
        """What is not there because RabbitMQ refuses the queue before which it stands."""
        uuids = self._declarer.refusals.now & self._catalogue.abonnementen.keys()
        return set().union(*map(self._reconcile.own, uuids))

    def queues(self) -> list[str]:
        """All queues that there should be."""
        return self._reconcile.queues()

    async def _missing(self) -> set[Thing]:
        """What is not there, but for what is being declared."""
        missing = set(await self._reconcile.missing())
        for uuid in self._declarer.under_way & self._catalogue.abonnementen.keys() if missing else ():
            missing -= self._reconcile.own(uuid)
        return missing

    async def _compare(self, *, dry_run: bool) -> list[str]:
        async with self._one_reconcile:
            gone = set(self._gone)
            lines = await self._reconcile.run(dry_run=dry_run, gone=gone)
            if gone and not dry_run:
                # Of those that are not noted any more nothing is left to remove.
                noted = {thing.owner for thing in await self._registry.declared()}
                self._gone -= {uuid for uuid in gone if str(uuid) not in noted}
        if not dry_run:
            self._close_gaps(self._declarer.under_way | self._declarer.refusals.now)
        if lines:
            log.info("compared", dry_run=dry_run, findings=len(lines), first=lines[:3])
        for line in lines:
            log.debug("compared", dry_run=dry_run, finding=line)
        return lines

    def _close_gaps(self, but: Set[UUID]) -> None:
        """Also those that another router opened; not of abonnementen that do not stand."""
        if not but:
            self._losses.queue_stands(None)
            return
        for uuid in self._catalogue.abonnementen.keys() - but:
            self._losses.queue_stands(uuid)
        if not self._declarer.under_way:
            for naam in self._catalogue.kanalen:
                self._losses.exchange_stands(naam)


def _groups(kanalen: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> tuple[FilterGroup, ...]:
    return tuple(FilterGroup(naam, tuple((name, value) for name, value in pairs)) for naam, pairs in kanalen)
