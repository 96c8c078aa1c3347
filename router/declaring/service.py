"""The router process: declares, answers requests, announces changes, reconciles.

Several may run; RabbitMQ delivers the requests to one of them, the active one. No notificatie passes through
it: while it is away only new or changed kanalen and abonnementen have to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ConnectionInternalError

from router import names
from router.amqp_direct.connecting import vhost_of
from router.amqp_direct.management import Management
from router.amqp_direct.users import Users
from router.catalogue import Catalogue
from router.changes import follow_changes
from router.declaring.declarer import BEFORE_AGAIN, Declarer
from router.declaring.losses import Losses, LossesOf
from router.declaring.reconcile import Reconcile
from router.declaring.request_handling import RECONCILE, RequestHandler
from router.declaring.watching.canary import Canary
from router.declaring.watching.leaders import leaderless, watch_leaders
from router.readiness import topology_stands
from router.requests import EXPIRY
from router.topology import REQUESTS_QUEUE, fixed
from runtime.amqp import AMQP_ERRORS, Link, close_reason, describe
from runtime.health import serve_health
from runtime.lifecycle import Tasks
from runtime.log import logger
from runtime.settings import Settings
from schemas.errors import BrokerUnavailable, BrokerUnfit, RegistryError
from store.opening import registry_of
from store.registry import Registry

PREFETCH = 32
WATCH_INTERVAL = 5.0  # seconds
WATCHED = 1000  # abonnementen that are looked at in that time; more take longer
OLDEST_BROKER = (3, 10)
STREAMS_ALWAYS = (3, 12)
CONSUME_TIMEOUT = 10.0  # seconds
STREAMS_TIMEOUT = 10.0  # seconds; a cluster that lost a node may take a minute to refuse

log = logger(__name__)


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[], None],
    losses_of: LossesOf,
    observe: Callable[[Router], AbstractAsyncContextManager[object]] = nullcontext,
) -> None:
    """Run the router until `stop`. Raises NrcError for what prevents it from working at all."""
    async with AsyncExitStack() as opened:
        registry = await opened.enter_async_context(registry_of(settings))
        catalogue = Catalogue(registry, refresh_interval=settings.refresh_interval)
        losses = await opened.enter_async_context(losses_of(settings))
        users = None
        if settings.amqp_direct and settings.rabbitmq_management_url:
            management = Management(
                settings.rabbitmq_management_url,
                vhost=vhost_of(settings.amqp_url[0]),
                ca_file=settings.amqp_ca_file,
            )
            users = Users(await opened.enter_async_context(management), catalogue)
        router = Router(
            settings, registry=registry, catalogue=catalogue, losses=losses, ready=ready, users=users
        )
        await catalogue.refresh()
        await opened.enter_async_context(
            serve_health(settings.health_listen, router.not_ready, warnings=router.warnings)
        )
        await opened.enter_async_context(observe(router))
        tasks = await opened.enter_async_context(Tasks())
        tasks.start("registry", catalogue.run())
        tasks.start("publishing", router.outbox.run())
        tasks.start("writing gaps", losses.run())
        tasks.start("working", router.link.run(router.session))
        await tasks.run_until(stop)
        await losses.close()


class Outbox:
    """Sends answers and announcements on its own connection: RabbitMQ may block one that publishes."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel: AbstractChannel | None = None
        self._open = asyncio.Event()
        self.refused = ""

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        await self._link.run(self._session)

    async def _session(self, connection: AbstractConnection) -> None:
        try:
            while True:
                self._channel = connection.channel(publisher_confirms=False)
                await self._channel.initialize()
                underlay = await self._channel.get_underlay_channel()
                self._open.set()
                # An announcement before its exchange is declared closes the channel.
                await self._channel.closed()
                self._open.clear()
                if isinstance(reason := close_reason(underlay), ChannelAccessRefused):
                    self.refused = describe(reason)
                    log.error("RabbitMQ refuses the router a right", reason=self.refused)
        finally:
            self._open.clear()

    async def send(self, routing_key: str, value: Any, *, exchange: str = "", number: str = "") -> None:
        """Send, or drop what cannot be sent: a process that waits for it asks again."""
        message = Message(
            orjson.dumps(value), correlation_id=number, message_id=uuid4().hex, expiration=EXPIRY
        )
        try:
            async with asyncio.timeout(EXPIRY):
                await self._open.wait()
                assert self._channel is not None  # noqa: S101 - set before the event
                target = await self._channel.get_exchange(exchange, ensure=False)
                await target.publish(message, routing_key, mandatory=False)
        except AMQP_ERRORS as error:
            log.warning("answer or announcement not sent", reason=describe(error))


class Router:
    """What the router does on each connection to RabbitMQ."""

    def __init__(
        self,
        settings: Settings,
        *,
        registry: Registry,
        catalogue: Catalogue,
        losses: Losses,
        ready: Callable[[], None],
        users: Users | None = None,
    ) -> None:
        self.link = Link(settings.amqp_url, name="router")
        self.outbox = Outbox(Link(settings.amqp_url, name="router publishing"))
        self._urls = settings.amqp_url
        self._interval = settings.reconcile_interval
        self._fixed = fixed(settings.retry_schedule)
        self._registry = registry
        self._catalogue = catalogue
        self._report_ready = ready
        self._losses = losses
        self._canary = Canary()
        self._standing = self._streams_seen = False
        self._gone: set[UUID] = set()
        catalogue.subscribe(lambda changes: self._gone.update(changes.gone_abonnementen))
        self._users = users
        if users is not None:
            catalogue.subscribe(lambda changes: users.look() if changes.gone_abonnementen else None)

    def not_ready(self) -> list[str]:
        """What prevents the router from working, a line each."""
        if self.link.connection is None:
            return [f"broker: {self.link.why_not}"]
        if self._standing:
            return []
        return ["topology: not declared yet" + (f"; {self.outbox.refused}" if self.outbox.refused else "")]

    def warnings(self) -> list[str]:
        """What is wrong while the router works, a line each."""
        lost = [f"{names.CANARY}: {self._canary.lost}"] if self._canary.lost else []
        why_not = self._users.why_not if self._users is not None else ""
        return [*lost, *([f"users of consumers: {why_not}"] if why_not else [])]

    async def session(self, connection: AbstractConnection) -> None:
        """Work on one connection until it is lost. Raises BrokerUnfit when RabbitMQ cannot be used."""
        self._standing = False
        await check_fitness(connection, streams_seen=self._streams_seen)
        # Asked once: a feature flag cannot be turned off, and a cluster that lacks a node may not answer.
        self._streams_seen = True
        declarer = Declarer(
            connection,
            registry=self._registry,
            catalogue=self._catalogue,
            leaderless=partial(leaderless, self._urls),
            losses=self._losses,
        )
        reconcile = Reconcile(
            declarer=declarer,
            registry=self._registry,
            catalogue=self._catalogue,
            fixed=self._fixed,
            losses=self._losses,
            gone=self._gone,
        )
        work = RequestHandler(
            declarer=declarer,
            reconcile=reconcile,
            catalogue=self._catalogue,
            outbox=self.outbox,
            losses=self._losses,
            users=self._users,
        )
        channel = connection.channel()
        await channel.initialize()
        await channel.set_qos(prefetch_count=PREFETCH)
        try:
            await declarer.remove_leaderless_requests()
            await declarer.declare_requests(REQUESTS_QUEUE)
        except RegistryError as error:
            raise BrokerUnavailable(f"the registry cannot be used: {error}") from error
        deleted = await _consume_requests(channel, work)
        async with Tasks() as tasks:
            tasks.start("asking to reconcile", self._ask_reconcile())
            tasks.start("following changes", follow_changes(connection, self._catalogue))
            tasks.start("waiting for the topology", self._wait_standing(connection))
            canary, leaders = partial(self._canary.run, self._urls), partial(watch_leaders, self._urls)
            tasks.start("watching the canary", _once_active(work, canary))
            tasks.start("looking for leaders", _once_active(work, partial(leaders, reconcile.queues)))
            tasks.start("young queues", declarer.young.run())
            if self._users is not None:
                tasks.start("users of consumers", _once_active(work, self._users.run))
            tasks.start("announcing changes", work.announce_changes())
            consuming = tasks.start("consuming requests", _until_deleted(deleted))
            closed: asyncio.Future[Any] = asyncio.ensure_future(channel.closed())
            await asyncio.wait({work.unfit, consuming, closed}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (work.unfit, consuming):
                if ended.done():
                    ended.result()

    async def _wait_standing(self, connection: AbstractConnection) -> None:
        await topology_stands(connection)
        self._standing = True
        self._report_ready()

    async def _ask_reconcile(self) -> None:
        """Ask the active router to reconcile now and at every interval, and to watch in between."""
        while True:
            await self.outbox.send(names.REQUESTS, RECONCILE)
            until = asyncio.get_running_loop().time() + self._interval
            while (left := until - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(min(watch_interval(len(self._catalogue.abonnementen)), left))
                await self.outbox.send(names.REQUESTS, {"do": "watch"})


def watch_interval(abonnementen: int) -> float:
    """Seconds between two looks at what was deleted by hand, with so many abonnementen.

    A look asks RabbitMQ about each. So looking costs no more of it, and of us, the more there are.
    """
    return WATCH_INTERVAL * max(1.0, abonnementen / WATCHED)


async def _once_active(work: RequestHandler, watch: Callable[[], Awaitable[None]]) -> None:
    await work.active.wait()
    await watch()


async def _consume_requests(channel: AbstractChannel, work: RequestHandler) -> asyncio.Event:
    """Consume until the returned event is set: the queue was deleted. Raises BrokerUnavailable."""
    deleted = asyncio.Event()
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _: deleted.set())
    queue = await channel.get_queue(names.REQUESTS, ensure=False)
    try:
        async with asyncio.timeout(CONSUME_TIMEOUT):
            await queue.consume(work.handle)
    except TimeoutError:
        raise BrokerUnavailable(f"{names.REQUESTS} cannot be consumed: it has no leader") from None
    return deleted


async def _until_deleted(deleted: asyncio.Event) -> None:
    await deleted.wait()
    await asyncio.sleep(BEFORE_AGAIN)  # RabbitMQ may not have cancelled another router's consumer yet
    raise BrokerUnavailable(f"{names.REQUESTS} was deleted")


async def check_fitness(connection: AbstractConnection, *, streams_seen: bool = False) -> None:
    """Raise BrokerUnfit when RabbitMQ is too old, or lacks the streams for at-least-once dead-lettering.

    streams_seen: it is known to have these. Raises AMQP_ERRORS when RabbitMQ does not answer now.
    """
    assert connection.transport is not None  # noqa: S101 - it is open
    properties: dict[str, Any] = connection.transport.connection.server_properties
    text = str(properties.get("version", ""))
    version = tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
    if properties.get("product") != "RabbitMQ" or version < OLDEST_BROKER:
        raise BrokerUnfit(f"RabbitMQ 3.10 or later is needed; this is {properties.get('product')} {text}")
    if version < STREAMS_ALWAYS and not streams_seen and not await _has_streams(connection):
        raise BrokerUnfit(
            "feature flag stream_queue is off, without which retries can be lost; "
            "run: rabbitmqctl enable_feature_flag stream_queue"
        )


async def _has_streams(connection: AbstractConnection) -> bool:
    """Whether a stream can be declared: AMQP has no other way to ask."""
    name = f"nrc.probe.{uuid4()}"
    channel = connection.channel()
    await channel.initialize()
    try:
        async with asyncio.timeout(STREAMS_TIMEOUT):
            queue = await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "stream"})
    except ConnectionInternalError as error:
        # The same error comes when a node of a cluster has just gone down; only the text differs.
        if "feature flag" in str(error):
            return False
        raise
    await queue.delete(if_unused=False, if_empty=False)
    await channel.close()
    return True
