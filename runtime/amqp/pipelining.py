"""Many AMQP methods in one write, and the answer to each: one round trip instead of one for each method."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any

from aiormq.abc import ChannelFrame
from pamqp.base import Frame

_closing: set[asyncio.Task[None]] = set()


async def ask_all(channel: Any, methods: Sequence[Frame], *, answers: list[Any]) -> None:
    """Append the answer to each of these methods to `answers`, in their order.

    RabbitMQ processes them in order. So when it closes the channel over one of them, `answers` has those to
    the methods before that one, and the exception is about that one. Raises AMQP_ERRORS. A call that is
    cancelled closes the channel once it is answered: unread answers would block the whole connection.
    """

    async def asked() -> None:
        async with channel.lock:
            await channel.write_queue.put(ChannelFrame.marshall(channel.number, methods))
            for _ in methods:
                answers.append(await channel.rpc_frames.get())

    asking = asyncio.ensure_future(_result_of(channel.create_task(asked())))
    try:
        await asyncio.shield(asking)
    except BaseException:
        if not asking.done():
            closing = asyncio.create_task(_close(channel, asking), name="closing a channel")
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)
        # What was read together with RabbitMQ's close.
        while channel.is_closed and not channel.rpc_frames.empty():
            answers.append(channel.rpc_frames.get_nowait())
        raise


async def _result_of(task: Awaitable[None]) -> None:
    await task  # the client library's own kind, which raises why the channel was closed


async def _close(channel: Any, asking: asyncio.Future[None]) -> None:
    with suppress(Exception, asyncio.CancelledError):
        await asking
    with suppress(Exception, asyncio.CancelledError):
        await channel.close()
