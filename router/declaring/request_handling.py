"""Handles the requests to the router process, and watches for what was deleted by hand."""

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
from router.amqp_direct.users import Users
from router.catalogue import Catalogue
from router.declaring.declarer import Declarer
from router.declaring.existence import Thing
from router.declaring.losses import Losses
from router.declaring.reconcile import Reconcile
from router.topology import of_kanaal
from runtime.amqp import AMQP_ERRORS, describe
from runtime.log import logger
from schemas.abonnement import FilterGroup
from schemas.errors import BrokerUnfit, NrcError, QueueRefused

SECOND_LOOK = 0.5  # seconds
RECONCILE = {"do": "reconcile", "dry_run": False, "gently": True}
"""The request of a router to itself; nobody waits for the end of it."""

BETWEEN_HINTS = 0.05  # seconds; at each hint every process reads the registry
MOST_UNDECLARED = 1000  # abonnementen that a hint names

log = logger(__name__)


class Outbox(Protocol):
    """Where answers and announcements go."""

    async def send(self, routing_key: str, value: Any, *, exchange: str = "", number: str = "") -> None: ...


class RequestHandler:
    """Handles the requests of `router.requests` on one connection.

    active: set with the first request; no other router gets one until this connection is gone.
    unfit: gets the exception when RabbitMQ cannot be used at all. users: None where there is no HTTP API.
    """

    def __init__(
        self,
        *,
        declarer: Declarer,
        reconcile: Reconcile,
        catalogue: Catalogue,
        outbox: Outbox,
        losses: Losses,
        users: Users | None = None,
    ) -> None:
        self._declarer = declarer
        self._reconcile = reconcile
        self._catalogue = catalogue
        self._outbox = outbox
        self._users = users
        self._losses = losses
        self._one_reconcile = asyncio.Lock()
        self._one_kanaal = asyncio.Lock()
        self._binding = asyncio.Lock()
        self._to_announce = asyncio.Event()
        self._compared = False
        self._activating = asyncio.Lock()
        self.active = asyncio.Event()
        self.unfit: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handle(self, message: AbstractIncomingMessage) -> None:
        """Do it, answer, then acknowledge: if this router ends before that, another gets the request."""
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
            log.warning("request could not be carried out", reason=reason)
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
            # The previous active router may have been of an older version.
            await self._outbox.send(names.REQUESTS, RECONCILE)

    async def _do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "kanaal":
                await self._kanaal(request["naam"])
            case "abonnement":
                uuid = UUID(request["uuid"])
                if "kanalen" in request:
                    self._declarer.prepare(uuid, _groups(request["kanalen"]))
                await self._abonnement(uuid)
            case "reconcile":
                dry_run, gently = request["dry_run"], request.get("gently", False)
                return {"lines": await self._compare(dry_run=dry_run, gently=gently)}
            case "user":
                return {"made": await self._user(UUID(request["uuid"]))}
            case "ping":
                pass
            case "watch":
                await self._watch()
            case "announce":
                await self._catalogue.refresh()
                await self._bind_events()
                await self._announce()
            case other:
                raise ValueError(f"unknown request {other!r}")
        return {}

    async def _bind_events(self) -> None:
        """Declare the abonnementen that want CloudEvents since they were declared, or do not any more.

        By options that were written without a request; one by PATCH is declared before it is written.
        """
        for uuid in self._declarer.other_events():
            try:
                await self._declared(uuid)
            except QueueRefused as error:
                self._declarer.refusals.refused(uuid, error)

    async def announce_changes(self) -> None:
        """Announce all changes since the last hint, when there are any, until cancelled."""
        while True:
            await self._to_announce.wait()
            self._to_announce.clear()
            await self._announce()
            await asyncio.sleep(BETWEEN_HINTS)

    async def _announce(self) -> None:
        hint: dict[str, Any] = {"change": self._catalogue.number}
        undeclared = self._catalogue.abonnementen.keys() - self._declarer.declared
        if self._compared and len(undeclared) <= MOST_UNDECLARED:
            hint["undeclared"] = [*map(str, undeclared)]
        await self._outbox.send("", hint, exchange=names.CHANGES)

    async def _kanaal(self, naam: str) -> None:
        """Declare its exchange if it is missing, then with all bindings.

        Added slots need no new bindings at once: the former bindings let more through.
        """
        async with self._one_kanaal:
            await self._catalogue.refresh()
            if (kanaal := self._catalogue.kanalen.get(naam)) is not None:
                exchange = Thing.exchange(of_kanaal(kanaal).name)
                await self._reconcile.repair(await self._declarer.missing([exchange]))
        self._to_announce.set()

    async def _abonnement(self, uuid: UUID) -> None:
        """Declare queue and bindings, or remove them when the registry does not have the abonnement."""
        await self._catalogue.refresh()
        try:
            stands = await self._declared(uuid)
        except QueueRefused as error:
            self._declarer.refusals.refused(uuid, error)
            raise
        if stands:
            self._to_announce.set()
        else:
            await self._announce()  # first, so that deliverers requeue what they have not begun
            await self._declarer.remove_abonnement(uuid)

    async def _user(self, uuid: UUID) -> bool:
        """Whether the user of this abonnement's consumer stands; False where there is no HTTP API for it."""
        if self._users is None:
            return False
        await self._catalogue.refresh()
        await self._users.ensure(uuid)
        return True

    async def _declared(self, uuid: UUID) -> bool:
        try:
            return await self._declarer.declare_abonnement(uuid)
        except ChannelNotFoundEntity:
            # An exchange that its queue is bound to was deleted by hand.
            await self._compare(dry_run=False)
            return await self._declarer.declare_abonnement(uuid)

    async def _watch(self) -> None:
        """Declare again what was deleted by hand."""
        if self._one_reconcile.locked():
            return  # reconcile declares what is missing
        missing = set(await self._reconcile.missing())
        if missing:
            # It may be about to be declared.
            await asyncio.sleep(SECOND_LOOK)
            missing &= {*await self._reconcile.missing()}
        if not missing:
            return
        # When a kanaal gets filters its abonnementen have other markers.
        deleted = {thing for thing in missing - self._refused() if not names.marked(thing.name)}
        if deleted:
            log.warning(
                "deleted by hand, declared again", missing=sorted(thing.name for thing in deleted)[:20]
            )
        await self._reconcile.repair(missing)
        if {*await self._reconcile.missing()} - self._refused():
            await self._compare(dry_run=False)

    def _refused(self) -> set[Thing]:
        """What cannot exist, since RabbitMQ refuses the queue of its abonnement."""
        uuids = self._declarer.refusals.now & self._catalogue.abonnementen.keys()
        return set().union(*map(self._reconcile.own, uuids))

    async def _compare(self, *, dry_run: bool, gently: bool = False) -> list[str]:
        async with self._one_reconcile:
            lines = await self._reconcile.run(dry_run=dry_run)
        if not dry_run:
            unknown = self._declarer.under_way | self._declarer.refusals.now
            self._declarer.declared |= self._reconcile.compared - unknown
            self._compared = True
            self._close_gaps(unknown)
            lines = lines + await self._bind_again(gently=gently)
        if lines:
            log.info("compared", dry_run=dry_run, findings=len(lines), first=lines[:3])
        for line in lines:
            log.debug("compared", dry_run=dry_run, finding=line)
        return lines

    async def _bind_again(self, *, gently: bool) -> list[str]:
        if not gently:
            return await self._reconcile.bind_again(gently=False)
        if self._binding.locked():
            return []  # the one before has not ended yet
        async with self._binding:
            return await self._reconcile.bind_again(gently=True)

    def _close_gaps(self, but: Set[UUID]) -> None:
        """Close all gaps, also those that other routers opened, except of these abonnementen."""
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
