"""The RabbitMQ under test: a private node that scenarios stop, kill, wipe, alarm and change.

It also reads the queues, to find what was not delivered. Knows nothing of the load.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from nrc.rabbitmq.private_node import free_port
from router import names
from router.history import whose
from runtime.amqp import connect
from tests.broker import QuickNode

NOT_OURS_TO_COUNT = frozenset({names.REQUESTS, names.CANARY})
"""Queues whose messages are no notificaties."""
USUAL_WATERMARK = 0.4


class Broker:
    """One private node in a state folder. management_url: its HTTP API, where it has one; else ""."""

    def __init__(self, state_dir: Path, *, management: bool = False) -> None:
        self.private = QuickNode(state_dir)
        self.control = self.private.control
        self.url = self.management_url = ""
        self._management_port = free_port() if management else 0

    async def start(self) -> None:
        """It takes connections when this returns, at the same address as before."""
        url = await self.private.start()
        assert self.url in ("", url), "RabbitMQ came back at another address"
        self.url = url
        if self._management_port:
            self.management_url = await self.private.serve_management(self._management_port)

    async def stop(self) -> None:
        """Stopped cleanly."""
        await self.private.stop()

    async def kill(self) -> None:
        """Gone, by SIGKILL."""
        await self.private.kill()

    def forget_everything(self) -> None:
        """All its state is gone. For a node that does not run."""
        assert not self.private.alive
        shutil.rmtree(self.private.folder / "mnesia")

    @property
    def message_store(self) -> Path:
        """The settings of its message store, which RabbitMQ writes once."""
        (file,) = self.private.folder.glob("mnesia/*/msg_stores/vhosts/*/.config")
        return file

    async def close(self) -> None:
        """Nothing runs any more."""
        await self.control.close()
        await self.private.kill()

    # -- faults

    async def alarm(self, on: bool) -> None:
        """A memory alarm, which blocks publishers, begins or ends."""
        fraction = 0.000001 if on else USUAL_WATERMARK
        await self.control.eval(f"vm_memory_monitor:set_vm_memory_high_watermark({fraction:f}).")

    async def set_policy(self, name: str, pattern: str, definition: Mapping[str, int]) -> None:
        """A policy for every queue and exchange that the pattern fits, at RabbitMQ's usual priority."""
        await self._set("set", name, pattern, definition, of="all")

    async def set_operator_policy(self, name: str, pattern: str, definition: Mapping[str, int]) -> None:
        """An operator policy: its keys hold on top of whatever policy a queue has."""
        await self._set("set_op", name, pattern, definition, of="queues")

    async def _set(
        self, function: str, name: str, pattern: str, definition: Mapping[str, int], *, of: str
    ) -> None:
        pairs = ", ".join(f'{{<<"{key}">>, {value}}}' for key, value in definition.items())
        await self.control.eval(
            f'ok = rabbit_policy:{function}(<<"/">>, <<"{name}">>, <<"{pattern}">>, [{pairs}], 0, '
            f'<<"{of}">>, <<"chaos">>).'
        )

    async def clear_operator_policy(self, name: str) -> None:
        """It is gone."""
        await self.control.eval(f'ok = rabbit_policy:delete_op(<<"/">>, <<"{name}">>, <<"chaos">>).')

    async def clear_policy(self, name: str) -> None:
        """It is gone."""
        await self.control.eval(f'ok = rabbit_policy:delete(<<"/">>, <<"{name}">>, <<"chaos">>).')

    @asynccontextmanager
    async def no_more_queues(self) -> AsyncIterator[None]:
        """RabbitMQ makes no queue any more, for as long as the context is open; it keeps those there are."""
        await self.control.eval('ok = rabbit_vhost_limit:set(<<"/">>, [{<<"max-queues">>, 1}], <<"chaos">>).')
        try:
            yield
        finally:
            await self.control.eval('rabbit_vhost_limit:clear(<<"/">>, <<"chaos">>).')

    @asynccontextmanager
    async def queue_hangs(self, name: str) -> AsyncIterator[None]:
        """Nothing comes out of this quorum queue, and nothing that goes into it is confirmed."""
        process = f"'%2F_{name}'"
        await self.control.eval(f"sys:suspend({process}).")
        try:
            yield
        finally:
            await self.control.eval(f"sys:resume({process}).")

    @asynccontextmanager
    async def without_leader(self, name: str) -> AsyncIterator[None]:
        """This quorum queue stands and nobody leads it: it seems empty, and takes nothing."""
        server = f"{{'%2F_{name}', node()}}"
        await self.control.eval(f"ok = ra:stop_server(quorum_queues, {server}).")
        try:
            yield
        finally:
            await self.control.eval(f"ok = ra:restart_server(quorum_queues, {server}).")

    async def replace_queue(self, name: str) -> int:
        """Delete a queue, and make one of another type in its place; how many messages were ready in it."""
        async with self.channel() as channel:
            queue = await channel.get_queue(name, ensure=False)
            deleted = await queue.delete(if_unused=False, if_empty=False)
            await channel.declare_queue(name, durable=True)
            return deleted.message_count or 0

    async def delete_queue(self, name: str) -> int:
        """Delete a queue by hand; how many messages were ready in it."""
        async with self.channel() as channel:
            queue = await channel.get_queue(name, ensure=False)
            deleted = await queue.delete(if_unused=False, if_empty=False)
            return deleted.message_count or 0

    async def delete_exchange(self, name: str) -> None:
        """Delete an exchange by hand."""
        async with self.channel() as channel:
            await channel.exchange_delete(name)

    # -- looking

    async def version(self) -> str:
        """Of RabbitMQ."""
        return (await self.control.eval("rabbit_misc:version().")).strip('"')

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AbstractConnection]:
        """A connection of our own."""
        opened = await connect(self.url, name="chaos")
        try:
            yield opened
        finally:
            await opened.close()

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """A channel on a connection of its own."""
        async with self.connection() as connection:
            channel = connection.channel()
            await channel.initialize()
            yield channel

    async def exchange_names(self) -> list[str]:
        """Every exchange of ours that is there."""
        told = await self.control.eval(
            '[binary_to_list(element(4, element(2, X))) || X <- rabbit_exchange:list(<<"/">>)].'
        )
        return sorted(name for name in re.findall(r'"([^"]*)"', told) if name.startswith("nrc."))

    async def queue_names(self) -> list[str]:
        """Every queue of ours that holds notificaties or requests, whoever declared it.

        Not the exclusive ones for hints, which only their own connection may ask for.
        """
        told = await self.control.eval(
            '[binary_to_list(element(4, N)) || N <- rabbit_amqqueue:list_names(<<"/">>)].'
        )
        ours = (name for name in re.findall(r'"([^"]*)"', told) if name.startswith("nrc."))
        return sorted(name for name in ours if not name.startswith(f"{names.CHANGES}."))

    async def ready(self, queues: Iterable[str]) -> dict[str, int]:
        """How many messages are ready in each of these queues that is there."""
        found: dict[str, int] = {}
        async with self.connection() as connection:
            for name in queues:
                channel = connection.channel()
                await channel.initialize()
                try:
                    queue = await channel.declare_queue(name, passive=True)
                except ChannelNotFoundEntity:
                    continue
                found[name] = queue.declaration_result.message_count or 0
                await channel.close()
        return found

    async def messages_of_ours(self) -> dict[str, int]:
        """Ready messages in every queue of ours that may hold notificaties, and gives them away."""
        others = {*NOT_OURS_TO_COUNT, *await self._streams()}
        return await self.ready(name for name in await self.queue_names() if name not in others)

    async def _streams(self) -> list[str]:
        """Every stream: it keeps what was read."""
        told = await self.control.eval(
            '[binary_to_list(element(4, amqqueue:get_name(Q))) || Q <- rabbit_amqqueue:list(<<"/">>), '
            "amqqueue:get_type(Q) =:= rabbit_stream_queue]."
        )
        return re.findall(r'"([^"]*)"', told)

    async def dead_lettering(self) -> int:
        """Messages whose time in a wait queue is up and that have not found their way yet.

        RabbitMQ holds them; no consumer sees them, and they are in no queue's count.
        """
        told = await self.control.eval(
            'lists:sum([N || Q <- rabbit_amqqueue:list(<<"/">>), '
            "[{messages_dlx, N}] <- [rabbit_amqqueue:info(Q, [messages_dlx])], is_integer(N)])."
        )
        return int(told)

    async def contents(self, queues: Iterable[str]) -> dict[str, Counter[tuple[str, UUID | None]]]:
        """(notificatie's id, abonnement) of all that is ready in these queues; it stays there."""
        found: dict[str, Counter[tuple[str, UUID | None]]] = {}
        async with self.connection() as connection:
            for name in queues:
                found[name] = Counter()
                async for message in _walk(connection, name):
                    owner = names.abonnement_of(name) or names.abonnement_of_amqp(name)
                    owner = owner or whose(message.headers, message.routing_key or "")
                    found[name][message.message_id or "", owner] += 1
        return found

    async def empty(self, name: str) -> int:
        """Take everything out of a queue; how many messages that were."""
        async with self.channel() as channel:
            queue = await channel.get_queue(name, ensure=False)
            purged = await queue.purge()
            return purged.message_count or 0

    async def bindings_to(self, queue: str) -> list[str]:
        """The sources bound to a queue."""
        told = await self.control.eval(
            f"[binary_to_list(element(4, element(2, B))) || B <- rabbit_binding:list_for_destination("
            f'rabbit_misc:r(<<"/">>, queue, <<{json.dumps(queue)}>>))].'
        )
        return re.findall(r'"([^"]*)"', told)


async def _walk(connection: AbstractConnection, name: str) -> AsyncIterator[AbstractIncomingMessage]:
    """All ready messages of a queue; they go back when the walk is over, with the channel's end."""
    channel = connection.channel()
    await channel.initialize()
    try:
        queue = await channel.get_queue(name, ensure=False)
        while (message := await queue.get(fail=False, timeout=10)) is not None:
            yield message
    finally:
        await channel.close()
        await asyncio.sleep(0)
