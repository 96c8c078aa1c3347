"""Starts the counting consumer, sets how its callbacks behave, and reads its records."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.chaos.accounting.account import Arrival

ROOT = Path(__file__).parents[3]
MAIN = "main"
"""The port that every consumer has."""


class Consumer:
    """A running consumer. Path `/<scenario>/<abonnement>` is the callback of one abonnement."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lock = asyncio.Lock()
        self._ports: dict[str, str] = {}
        self._arrivals: dict[str, list[Arrival]] = {}
        self.under_way = 0

    async def _ask(self, do: str, **words: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        async with self._lock:
            stdin.write(orjson.dumps({"do": do, **words}) + b"\n")
            answer = orjson.loads(await stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"consumer: {do}: {answer['error']}")
        return answer["ok"]

    async def open(self, name: str, *, certificate: Path | None = None, host: str = "127.0.0.1") -> None:
        """Another port, that goes down and up by itself; with a PEM of key and certificate it talks TLS."""
        pem = str(certificate) if certificate else None
        port = await self._ask("open", name=name, certificate=pem, host=host)
        self._ports[name] = f"{'https' if certificate else 'http'}://{host}:{port}"

    def has(self, name: str) -> bool:
        """Whether this port was opened."""
        return name in self._ports

    def url(self, path: str, *, port: str = MAIN) -> str:
        """The callbackUrl of a path."""
        return f"{self._ports[port]}{path}"

    async def behave(self, path: str, name: str, /, **arguments: Any) -> None:
        """Answer on this path by that behaviour (tests/chaos/clients/behaviours.py) from now on."""
        await self._ask("behave", path=path, name=name, arguments=arguments)

    async def down(self, port: str = MAIN) -> None:
        """Refuse and cut every connection to this port."""
        await self._ask("down", name=port)

    async def up(self, port: str = MAIN) -> None:
        """Listen on it again."""
        await self._ask("up", name=port)

    async def take(self, scenario: str) -> list[Arrival]:
        """Everything that came in for a scenario so far, whatever was taken before included.

        `under_way` is how many requests were being answered at that moment.
        """
        told = await self._ask("take")
        self.under_way = told["under_way"]
        for path, message_id, number, _, at, answered in told["records"]:
            _, whose, abonnement = path.split("/", 2)
            if message_id:  # a test message has none
                found = Arrival(number, message_id, abonnement, at, answered)
                self._arrivals.setdefault(whose, []).append(found)
        return self._arrivals.get(scenario, [])

    def forget(self, scenario: str) -> None:
        """Keep nothing of a scenario that is over."""
        self._arrivals.pop(scenario, None)


@asynccontextmanager
async def consumer() -> AsyncIterator[Consumer]:
    """A consumer with one port, for as long as the context is open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.clients.consumer"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**30,  # a line with all that came in since the last look
    )
    try:
        started = Consumer(process)
        await started.open(MAIN)
        yield started
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
