"""Bringing home what is in `nrc.stray`: notificaties that came while their abonnement's queue was missing.

The exchange before the queue still stood, and its alternate exchange brought them here. Nothing on a message
says whose exchange that was, so it goes to every abonnement that matches and whose queue was missing. When no
such one is known it goes to every one that matches, after all these are bound again: rather twice (with the
same id) than not. Only the active router does this. Declares nothing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from router import names
from router.catalogue import Catalogue
from router.endings import ABONNEMENT_REMOVED, Endings
from router.filters import matches
from router.history import FailedAttempt, kept_headers, place_headers, read_history
from router.presence import Thing, missing
from router.publishing import Outgoing, Publisher
from router.renewals import Renewals
from runtime.amqp import AMQP_ERRORS, describe
from runtime.lifecycle import Tasks
from runtime.log import Occasional, logger
from schemas.abonnement import Abonnement
from schemas.errors import BrokerError, NrcError, ParseError, QueueRefused
from schemas.jsontext import read_json

PREFETCH = 200
GATHER = 0.05  # seconds in which more come in, so that one look serves them all
AGAIN = 1.0  # seconds
SENDS = 64  # at once
LOOK_AFTER = 5.0  # seconds without a stray, after which what is over is forgotten

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Stray:
    """A message of `nrc.stray`.

    only: whose it is, when it came back from being brought home. readable: False for what never came through
    a gateway, of which nobody can say whose it is.
    """

    message: AbstractIncomingMessage
    kanaal: str
    kenmerken: Mapping[str, str]
    only: UUID | None = None
    readable: bool = True

    def wanted_by(self, abonnement: Abonnement) -> bool:
        """Whether it may have been for this abonnement."""
        if self.only is not None:
            return abonnement.uuid == self.only
        return matches(abonnement, self.kanaal, self.kenmerken)


@dataclass(frozen=True, slots=True)
class Verdict:
    """home: where a stray goes. suspects: those that must be bound again first, since nobody explains it.

    Neither: it is nobody's. known: somebody wants it, and has it already.
    """

    home: frozenset[UUID] = frozenset()
    suspects: frozenset[UUID] = frozenset()
    known: bool = False


def judge(stray: Stray, abonnementen: Iterable[Abonnement], renewals: Renewals) -> Verdict:
    """For whom a stray is."""
    home = frozenset(each.uuid for each in renewals.open_ones if stray.wanted_by(each))
    if home:
        return Verdict(home)
    wanted_by = [each.uuid for each in abonnementen if stray.wanted_by(each)]
    suspects = frozenset(uuid for uuid in wanted_by if not renewals.is_explained(uuid))
    return Verdict(suspects=suspects, known=bool(wanted_by))


class Strays:
    """Consumes `nrc.stray`.

    publisher: a mandatory one. endings: told of what is dropped. apply: makes queue and bindings of an
    abonnement stand.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        renewals: Renewals,
        publisher: Publisher,
        endings: Endings,
        apply: Callable[[UUID], Awaitable[None]],
    ) -> None:
        self._catalogue = catalogue
        self._renewals = renewals
        self._publisher = publisher
        self._endings = endings
        self._apply = apply
        self._sends = asyncio.Semaphore(SENDS)
        self._failures = Occasional(every=30.0)
        self._nobodys = Occasional(every=30.0)

    async def run(self, connection: AbstractConnection) -> None:
        """Bring home whatever comes, on this connection, until cancelled. Raises AMQP_ERRORS."""
        while True:
            over = asyncio.Event()

            def end(*_: object, over: asyncio.Event = over) -> None:
                over.set()

            inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
            channel = connection.channel()
            await channel.initialize()
            await channel.set_qos(prefetch_count=PREFETCH)
            channel.close_callbacks.add(end)
            underlay = await channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(end)
            # Not there: an older router was at work until now, or somebody deleted it.
            with suppress(ChannelNotFoundEntity):
                queue = await channel.get_queue(names.STRAY, ensure=False)
                await queue.consume(inbox.put)
                async with Tasks() as tasks:
                    tasks.start("bringing strays home", self._work(connection, inbox))
                    tasks.start("marking", self._mark())
                    await tasks.run_until(over)
                if not channel.is_closed:
                    await channel.close()
            await asyncio.sleep(AGAIN)

    async def _mark(self) -> None:
        """After each queue that stands again, a mark: what comes before it may be for that queue."""
        while True:
            await self._renewals.to_mark.wait()
            if not (mark := self._renewals.new_mark()):
                continue
            try:
                await self._publisher.publish(Outgoing(names.STRAY, names.STRAY, b"", mark))
            except BrokerError as error:
                log.debug("mark not put", reason=str(error))
                self._renewals.not_put(mark)
                await asyncio.sleep(AGAIN)

    async def _work(
        self, connection: AbstractConnection, inbox: asyncio.Queue[AbstractIncomingMessage]
    ) -> None:
        while True:
            batch = await _some(inbox)
            await self._renewals.expire()
            if batch and not await self._bring_home(connection, batch):
                await asyncio.sleep(AGAIN)

    async def _bring_home(
        self, connection: AbstractConnection, batch: Sequence[AbstractIncomingMessage]
    ) -> bool:
        """Whether each of them is where it belongs; those that are not are given back."""
        strays = []
        for message in batch:
            if message.exchange == names.STRAY:
                self._renewals.seen(message.message_id or "")
                await message.ack()
            else:
                strays.append(read(message))
        try:
            # A copy older than a stray may lack the abonnement that it is for.
            await self._catalogue.refresh()
            await self._find_missing(connection, strays)
            await self._bind_suspects(strays)
        except (NrcError, *AMQP_ERRORS) as error:
            self._report_failure(describe(error), len(strays))
            await _give_back(strays)
            return False
        done = await asyncio.gather(*(self._settle(stray) for stray in strays))
        if strays:
            log.info("strays brought home", count=sum(done), of=len(strays))
        return all(done)

    async def _find_missing(self, connection: AbstractConnection, strays: Sequence[Stray]) -> None:
        """Declare what is missing now of all that these may be for, and so know it when they are judged.

        What is being declared already is waited for: before its queue is bound nothing reaches it.
        """
        kanalen = {stray.kanaal for stray in strays}
        only = {stray.only for stray in strays}
        queues = {
            Thing.queue(names.abonnement_queue(uuid)): uuid
            for uuid, abonnement in self._catalogue.abonnementen.items()
            if uuid in only or any(group.naam in kanalen for group in abonnement.kanalen)
        }
        gone = {queues[thing] for thing in await missing(connection, [*queues])}
        unbound = {uuid for uuid in queues.values() if not self._renewals.is_standing(uuid)}
        # One that is unfit is its own fault: the others need not wait.
        await self._apply_all(gone | unbound, but=(QueueRefused,))

    async def _bind_suspects(self, strays: Sequence[Stray]) -> None:
        """Those that nothing explains: a binding may be gone, or an older router declared the queue again."""
        abonnementen = self._catalogue.abonnementen
        suspects: set[UUID] = set()
        for stray in strays:
            suspects |= judge(stray, abonnementen.values(), self._renewals).suspects
        if suspects:
            log.warning("strays of an unknown abonnement: sent to all that match", matching=len(suspects))
        for uuid in suspects & abonnementen.keys():
            await self._renewals.open(abonnementen[uuid], note=False)
        # One that cannot be bound stays open and does not stand.
        await self._apply_all(suspects, but=(NrcError, *AMQP_ERRORS))

    async def _apply_all(self, uuids: Set[UUID], *, but: tuple[type[BaseException], ...]) -> None:
        """Together, since a new queue rests before it is bound. Raises the first error that is not `but`."""
        results = await asyncio.gather(*map(self._apply, uuids), return_exceptions=True)
        for uuid, error in zip(uuids, results, strict=True):
            if isinstance(error, but):
                log.debug("not bound", abonnement=str(uuid), reason=describe(error))
            elif isinstance(error, BaseException):
                raise error

    async def _settle(self, stray: Stray) -> bool:
        verdict = judge(stray, self._catalogue.abonnementen.values(), self._renewals)
        if verdict.suspects:
            return await _give_back([stray])
        try:
            if verdict.home:
                await asyncio.gather(*(self._send(stray, uuid) for uuid in verdict.home))
            elif not stray.readable:
                await self._publish(stray, exchange=names.UNDELIVERABLE, key=names.STRAY)
            else:
                self._report_nobodys(stray, known=verdict.known)
                if stray.only is not None and not verdict.known:
                    self._removed(stray, stray.only)
            await stray.message.ack()
        except (BrokerError, *AMQP_ERRORS) as error:
            self._report_failure(describe(error), 1)
            return await _give_back([stray])
        return True

    async def _send(self, stray: Stray, uuid: UUID) -> None:
        if uuid not in self._catalogue.abonnementen:
            self._removed(stray, uuid)  # meanwhile, with what waited for it
            return
        # By the exchange: when the queue is gone once more it comes back here, and its key says whose it is.
        # A queue that cannot be bound may still be reached by its name; if not, it is undeliverable.
        standing = self._renewals.is_standing(uuid)
        exchange = names.abonnement_exchange(uuid) if standing else names.RETURN
        await self._publish(stray, exchange=exchange, key=names.abonnement_queue(uuid))

    def _removed(self, stray: Stray, uuid: UUID) -> None:
        """It is dropped, since the abonnement that it was for is not there any more."""
        reason = FailedAttempt(datetime.now(UTC), ABONNEMENT_REMOVED, None, "its abonnement was removed")
        history = read_history(stray.message.headers).ended(reason)
        if stray.message.message_id:
            self._endings.undeliverable(stray.message.message_id, uuid, history)

    async def _publish(self, stray: Stray, *, exchange: str, key: str) -> None:
        message = stray.message
        async with self._sends:
            await self._publisher.publish(
                Outgoing(
                    exchange=exchange,
                    routing_key=key,
                    body=message.body,
                    message_id=message.message_id or uuid4().hex,
                    headers={
                        **kept_headers(message.headers),
                        **place_headers(read_history(message.headers)),
                    },
                    timestamp=message.timestamp,
                )
            )

    def _report_failure(self, reason: str, count: int) -> None:
        if times := self._failures.due():
            log.warning("strays not brought home yet", count=count, reason=reason, times=times)

    def _report_nobodys(self, stray: Stray, *, known: bool) -> None:
        notificatie = stray.message.message_id
        if not known:
            log.debug("stray that nobody wants any more", notificatie=notificatie)
        elif times := self._nobodys.due():
            log.warning("stray of no abonnement", notificatie=notificatie, kanaal=stray.kanaal, times=times)


def read(message: AbstractIncomingMessage) -> Stray:
    """A message of `nrc.stray`, whatever it holds."""
    only = names.abonnement_of(message.routing_key or "")
    try:
        data = _json(message.body)
        kanaal, kenmerken = data["kanaal"], data.get("kenmerken", {})
    except (ParseError, KeyError, TypeError, AttributeError):
        kanaal = kenmerken = None
    if isinstance(kanaal, str) and isinstance(kenmerken, dict):
        return Stray(message, kanaal, kenmerken, only)
    return Stray(message, "", {}, only, readable=False)


async def _some(inbox: asyncio.Queue[AbstractIncomingMessage]) -> list[AbstractIncomingMessage]:
    """What came in, a moment after the first; [] when nothing did for a while."""
    try:
        async with asyncio.timeout(LOOK_AFTER):
            batch = [await inbox.get()]
    except TimeoutError:
        return []
    await asyncio.sleep(GATHER)
    while not inbox.empty():
        batch.append(inbox.get_nowait())
    return batch


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return read_json(body)  # slower, and takes all that the gateway takes


async def _give_back(strays: Iterable[Stray]) -> bool:
    """False, which is what became of them."""
    for stray in strays:
        with suppress(*AMQP_ERRORS):
            await stray.message.nack(requeue=True)
    return False
