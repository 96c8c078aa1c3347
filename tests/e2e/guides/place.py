"""A product that runs as `nrc up` runs it, for pages that tell a reader what to do; and what they tell."""

from __future__ import annotations

import re
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nrc.rabbitmq.private_node import free_port
from tests.callback_server import CallbackServer, Received, Wire, status
from tests.command import nrc_process
from tests.e2e.running import NRC, environment, running

BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```+ *$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of every block of code in a page."""
    for match in BLOCK.finditer(page.read_text()):
        yield match[1], textwrap.dedent(match[2])


@dataclass
class Place:
    """A product that runs, with a callback of the reader's own beside it. address, inbox: host and port."""

    address: str
    inbox: str
    callback: CallbackServer
    environment: dict[str, str]
    folder: Path

    async def command(self, *arguments: str) -> str:
        """What a command of ours prints."""
        ran = await nrc_process(self.folder, *arguments, env=self.environment)
        assert ran.code == 0, ran.err
        return ran.out


async def asks_for_the_guide_s_auth(wire: Wire, received: Received) -> bool:
    known = received.header("Authorization") == "Token abcde12345"
    return await status(204 if known else 401)(wire, received)


@asynccontextmanager
async def a_place(vhost: str, tmp_path: Path) -> AsyncIterator[Place]:
    """Everything that `nrc up` starts, on an empty broker and with an empty registry."""
    address, inbox = (f"127.0.0.1:{free_port()}" for _ in range(2))
    env = environment(
        NRC_AMQP_URL=vhost,
        NRC_STATE_DIR=str(tmp_path),
        NRC_GATEWAY_LISTEN=address,
        NRC_INBOX_LISTEN=inbox,
    )
    async with CallbackServer() as callback, running(*NRC, "up", "--no-demo", env=env, cwd=tmp_path) as up:
        callback.script("/api/callbacks", asks_for_the_guide_s_auth)
        await up.says(f"NRC ready: http://{address}/api/v1")
        yield Place(address, inbox, callback, env, tmp_path)
        assert await up.stop() == 0
        assert "Traceback" not in up.err, up.err
