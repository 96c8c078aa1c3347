"""Requests to the router process, to declare in RabbitMQ what the registry says, and its answers.

Requests go through one queue with a single active consumer: of several routers one is active. Every request
is idempotent: it names a kanaal or an abonnement, and the registry says what must exist for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import orjson
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import PublishError

from router import names
from router.queue_depth import depth_of
from runtime.amqp import AMQP_ERRORS, Link, describe, size_limit
from runtime.joining import Joined
from schemas.abonnement import FilterGroup
from schemas.errors import BrokerUnavailable, MessageTooLarge, QueueRefused

TAKEN_TIMEOUT = 5.0  # seconds in which RabbitMQ must accept a request
ROUTER_TIMEOUT = 4.0  # seconds in which a router must answer; one that is restarted is back by then
APPLY_TIMEOUT = 10.0  # seconds; an abonnement with a thousand filters takes two
CHANGE_TIMEOUT = 4.0  # seconds; a client that changes an abonnement has its answer within five
RECONCILE_TIMEOUT = 600.0  # seconds
LOOK_AGAIN = 0.1  # seconds
SEEN_FOR = 0.5  # seconds
EXPIRY = 30.0  # seconds after which a request that no router took is dropped

REPLY_TO = "amq.rabbitmq.reply-to"


class RouterClient:
    """Sends requests over `link`, whose owner keeps it connected."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._opened: tuple[AbstractConnection, AbstractChannel] | None = None
        self._opening = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._pings = Joined(self._ping, name="asking for a router")
        self._seen: tuple[AbstractConnection | None, float] = (None, 0.0)

    async def at_work(self) -> None:
        """Return when a router answers. Raises BrokerUnavailable within 4 s.

        For use before a change of the registry: a request after that may take longer, but is handled.
        Concurrent callers share a ping.
        """
        try:
            async with asyncio.timeout(ROUTER_TIMEOUT):
                await self._pings.run()
        except TimeoutError:
            raise BrokerUnavailable(f"no answer from the router within {ROUTER_TIMEOUT:g} s") from None

    async def _ping(self) -> None:
        await self._ask({"do": "ping"}, timeout=ROUTER_TIMEOUT)

    async def apply_kanaal(self, naam: str) -> None:
        """Ask to declare the exchange of this kanaal. Raises BrokerUnavailable."""
        await self._ask({"do": "kanaal", "naam": naam})

    async def apply_abonnement(self, uuid: UUID) -> None:
        """Ask to declare, or remove, queue and bindings. Raises BrokerUnavailable or QueueRefused."""
        await self._ask({"do": "abonnement", "uuid": str(uuid)})

    async def prepare_abonnement(self, uuid: UUID, kanalen: Sequence[FilterGroup]) -> None:
        """Ask to declare bindings for the registry's filters and also for these.

        Before a change is written to the registry; after it `finish_abonnement` removes the former bindings.
        kanalen: () for a change of something else. Raises BrokerUnavailable or QueueRefused: then the change
        must not be written.
        """
        groups = [[group.naam, group.filters] for group in kanalen]
        await self._ask({"do": "abonnement", "uuid": str(uuid), "kanalen": groups}, timeout=CHANGE_TIMEOUT)

    async def finish_abonnement(self, uuid: UUID) -> None:
        """`apply_abonnement` after `prepare_abonnement`, with its timeout."""
        await self._ask({"do": "abonnement", "uuid": str(uuid)}, timeout=CHANGE_TIMEOUT)

    async def ensure_user(self, uuid: UUID) -> bool:
        """Ask for the RabbitMQ user of an abonnement of type amqp, as the registry has it; or its removal.

        False where the router has no HTTP API of RabbitMQ. Raises BrokerUnavailable.
        """
        return bool((await self._ask({"do": "user", "uuid": str(uuid)}))["made"])

    async def announce(self) -> None:
        """Ask to send every process the hint to read the registry. Raises BrokerUnavailable."""
        await self._ask({"do": "announce"})

    async def reconcile(self, *, dry_run: bool = False) -> list[str]:
        """Ask to reconcile; returns what was (dry_run: would be) done. Raises BrokerUnavailable."""
        answer = await self._ask({"do": "reconcile", "dry_run": dry_run}, timeout=RECONCILE_TIMEOUT)
        return list(answer["lines"])

    async def _ask(self, request: Mapping[str, Any], *, timeout: float | None = None) -> Mapping[str, Any]:
        timeout = timeout or APPLY_TIMEOUT
        if self.link.blocked:
            raise BrokerUnavailable("RabbitMQ refuses publishers (memory or disk alarm)")
        number = uuid4().hex
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                channel = await self._channel()
                await self._router_is_there()
                await self._send(channel, request, number)
                reply: Mapping[str, Any] = await answer
        except TimeoutError:
            raise BrokerUnavailable(f"no answer from the router within {timeout:g} s") from None
        except asyncio.CancelledError:
            # Either our caller cancelled us, or the client library did because the connection was lost.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise BrokerUnavailable("the connection to RabbitMQ was lost") from None
        except PublishError as error:
            raise BrokerUnavailable("no router is at work; is one running?") from error
        except AMQP_ERRORS as error:
            if (limit := size_limit(error)) is not None:
                raise MessageTooLarge(len(orjson.dumps(request)), limit) from error
            raise BrokerUnavailable(describe(error)) from error
        finally:
            del self._waiting[number]
        if reply.get("refused"):
            raise QueueRefused(reply["error"])
        if "error" in reply:
            raise BrokerUnavailable(f"the router could not do it: {reply['error']}")
        return reply

    async def _send(self, channel: AbstractChannel, request: Mapping[str, Any], number: str) -> None:
        """Publish the request to the router's queue. Raises BrokerUnavailable when an alarm delays that."""
        message = Message(
            orjson.dumps(request),
            reply_to=REPLY_TO,
            correlation_id=number,
            message_id=number,
            expiration=EXPIRY,
        )
        try:
            async with asyncio.timeout(TAKEN_TIMEOUT):
                await channel.default_exchange.publish(message, names.REQUESTS, mandatory=True)
        except TimeoutError:
            raise BrokerUnavailable("RabbitMQ does not take requests for the router now") from None

    async def _router_is_there(self) -> None:
        """Return once a router consumes requests, or did a moment ago. Raises BrokerUnavailable."""
        connection, loop = self.link.connection, asyncio.get_running_loop()
        if self._seen[0] is connection and loop.time() < self._seen[1] + SEEN_FOR:
            return
        deadline = loop.time() + ROUTER_TIMEOUT
        while connection is not None and not await _at_work(connection):
            if loop.time() > deadline:
                raise BrokerUnavailable("no router is at work; is one running?")
            await asyncio.sleep(LOOK_AGAIN)
        self._seen = (connection, loop.time())

    async def _channel(self) -> AbstractChannel:
        connection = await self.link.connected(within=TAKEN_TIMEOUT)
        async with self._opening:
            if self._opened is not None and self._opened[0] is connection and not self._opened[1].is_closed:
                return self._opened[1]
            channel = connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize()
            replies = await channel.get_queue(REPLY_TO, ensure=False)
            await replies.consume(self._answered, no_ack=True)
            self._opened = (connection, channel)
            return channel

    async def _answered(self, message: AbstractIncomingMessage) -> None:
        waiting = self._waiting.get(message.correlation_id or "")
        if waiting is not None and not waiting.done():
            waiting.set_result(orjson.loads(message.body))


async def _at_work(connection: AbstractConnection) -> bool:
    depth = await depth_of(connection, names.REQUESTS)
    return depth is not None and depth.consumers > 0
