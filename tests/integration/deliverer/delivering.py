"""A router, a callback and a publisher on one virtual host, for tests of the deliverer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from deliverer.service import serve
from router import names
from router.publishing import Publisher
from router.routing import route
from runtime.amqp import AMQP_ERRORS
from runtime.settings import load_settings
from schemas.abonnement import Abonnement, FilterGroup, State
from schemas.kanaal import Kanaal
from schemas.notificatie import Notificatie
from tests.callback_server import CallbackServer
from tests.integration.conftest import Running, running
from tests.make import a_kanaal, an_abonnement


@dataclass
class Delivering:
    """What a test of the deliverer needs."""

    router: Running
    publisher: Publisher
    callback: CallbackServer
    kanaal: Kanaal

    def deliverer(
        self, *, observe: Callable[..., Any] = nullcontext, **settings: Any
    ) -> AbstractAsyncContextManager[None]:
        """A deliverer in this process, from ready to stopped. What it misses stays missed for long."""
        own = {
            "retry_schedule": "1,1",
            "refresh_interval": 30.0,
            "callback_timeout": 5.0,
            "stop_timeout": 5.0,
        }
        base = self.router.settings.model_dump(include={"state_dir", "amqp_url", "callback_allow_loopback"})
        made = load_settings(_env_file=None, **{**base, **own, **settings})
        return running(serve, made, observe=observe)

    async def subscribe(
        self,
        path: str = "/",
        *,
        url: str = "",
        auth: str = "Token test",
        filters: dict[str, str] | None = None,
    ) -> Abonnement:
        """An abonnement on the kanaal, as the gateway makes it; `path` of the callback, or another `url`."""
        callback = url or self.callback.url(path)
        abonnement = an_abonnement((self.kanaal.naam, filters or {}), callback=callback)
        added = await self.router.registry.add_abonnement(replace(abonnement, auth=auth))
        await self.router.client.apply_abonnement(added.uuid)
        return added

    async def change(self, abonnement: Abonnement, **changes: Any) -> Abonnement:
        """Change an abonnement, as a PATCH does."""
        await self.router.client.prepare_abonnement(abonnement.uuid, changes.get("kanalen", ()))
        changed = await self.router.registry.change_abonnement(
            abonnement.uuid, lambda latest: replace(latest, **changes)
        )
        await self.router.client.finish_abonnement(changed.uuid)
        return changed

    async def remove(self, abonnement: Abonnement) -> None:
        """Remove an abonnement, as a DELETE does."""
        assert await self.router.registry.remove_abonnement(abonnement.uuid)
        await self.router.client.apply_abonnement(abonnement.uuid)

    async def set_state(self, abonnement: Abonnement, state: State) -> None:
        """Suspend or resume, as an operator does."""
        await self.router.registry.set_state(abonnement.uuid, state, "by a test")
        await self.router.client.announce()

    async def state_is(self, abonnement: Abonnement, state: State) -> bool:
        """Whether the registry has the abonnement in this state."""
        changes = await self.router.registry.changes_since(0)
        return [each.state for each in changes.abonnementen if each.uuid == abonnement.uuid] == [state]

    async def publish(self, *, body: bytes | None = None, hops: int = 0, **kenmerken: str) -> str:
        """Publish a notificatie as the gateway does; its id."""
        if body is None:
            body = orjson.dumps({"kanaal": self.kanaal.naam, "number": str(uuid4()), "kenmerken": kenmerken})
        notificatie = Notificatie(self.kanaal.naam, "zaak", "create", kenmerken, body)
        number = str(uuid4())
        await self.publisher.publish(
            route(self.kanaal, notificatie, message_id=number, accepted_at=datetime.now(UTC), hops=hops)
        )
        return number

    async def depth(self, queue: str) -> int:
        """How many messages of a queue are ready; -1 when it is not there."""
        channel = self.router.connection.channel()
        await channel.initialize()
        with suppress(ChannelNotFoundEntity):
            declared = await channel.declare_queue(queue, passive=True)
            await channel.close()
            return declared.declaration_result.message_count or 0
        return -1

    async def depth_is(self, abonnement: Abonnement, count: int, *, waiting: int | None = None) -> bool:
        """Whether so many messages of an abonnement's queue are ready (and in the shortest wait queue)."""
        if waiting is not None and await self.depth(names.wait_queue(1)) != waiting:
            return False
        return await self.depth(names.abonnement_queue(abonnement.uuid)) == count

    async def consumers_are(self, abonnement: Abonnement, count: int) -> bool:
        """Whether an abonnement's queue has so many consumers; False while that cannot be asked."""
        if (connection := self.router.link.connection) is None:
            return False
        with suppress(RuntimeError, *AMQP_ERRORS):  # a bare RuntimeError is its word for "closed"
            channel = connection.channel()
            await channel.initialize()
            queue = await channel.declare_queue(names.abonnement_queue(abonnement.uuid), passive=True)
            await channel.close()
            return queue.declaration_result.consumer_count == count
        return False

    async def undeliverable(self) -> list[AbstractIncomingMessage]:
        """What is in the undeliverable; it is taken out."""
        return await self.router.taken(names.UNDELIVERABLE)

    def ids_at(self, path: str) -> list[str | None]:
        """The webhook-ids that came in on a path, in order."""
        return [received.header("webhook-id") for received in self.callback.at(path)]


@asynccontextmanager
async def delivering(router: Running) -> AsyncIterator[Delivering]:
    """Everything but the deliverer itself, which the test starts."""
    publisher = Publisher(router.settings.amqp_url, name="test", mandatory=False)
    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "bronorganisatie", "zaaktype"))
    await router.client.apply_kanaal(kanaal.naam)
    task = asyncio.create_task(publisher.run())
    try:
        await publisher.wait_ready(10)
        async with CallbackServer() as callback:
            yield Delivering(router, publisher, callback, kanaal)
    finally:
        task.cancel()
        await asyncio.wait({task})


def group(naam: str, **filters: str) -> FilterGroup:
    """Filters on a kanaal."""
    return FilterGroup(naam, tuple(filters.items()))
