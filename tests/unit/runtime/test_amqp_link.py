"""A broker that cannot be reached: the pauses between connections, on a clock of our own; what is left."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from aio_pika.abc import AbstractConnection

from runtime.amqp import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Link, connection
from schemas.errors import BrokerUnavailable


class Played:
    """Plays how long each session lives (None: no connection); keeps the pauses after them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lives: list[float | None]) -> None:
        self.lives = lives
        self.pauses: list[float] = []
        self.now = 0.0
        monkeypatch.setattr(connection, "_connect", self.connect)
        monkeypatch.setattr(connection.random, "uniform", lambda low, high: 1.0)
        monkeypatch.setattr(connection.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(connection.asyncio, "sleep", self.sleep)
        monkeypatch.setattr(Link, "_hold", self.hold)
        monkeypatch.setattr(Link, "_drop", self.drop)

    async def connect(self, url: str, *, name: str, diverts: bool) -> tuple[Any, Any]:
        if self.lives[0] is None:
            self.lives.pop(0)
            raise BrokerUnavailable("refused")
        return object(), None

    async def hold(self, connection: AbstractConnection, session: Any) -> None:
        self.now += self.lives.pop(0) or 0.0

    async def drop(self) -> None:
        """Nothing is open."""

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 3))
        self.now += seconds
        if not self.lives:
            raise asyncio.CancelledError


async def pauses(
    monkeypatch: pytest.MonkeyPatch, lives: list[float | None], *, longest_rest: float = LONGEST_PAUSE
) -> list[float]:
    async def session(connection: AbstractConnection) -> None:
        """Never run: `hold` is played."""

    with monkeypatch.context() as patched:
        played = Played(patched, lives)
        with pytest.raises(asyncio.CancelledError):
            await Link(["amqp://nowhere/"], name="test", longest_rest=longest_rest).run(session)
    return played.pauses


async def test_sessions_that_are_cut_at_once_rest_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[float | None] = [0.1] * 9
    assert await pauses(monkeypatch, cut[:], longest_rest=15) == [
        0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15,
    ]  # fmt: skip
    assert max(await pauses(monkeypatch, cut[:])) == LONGEST_PAUSE


async def test_only_a_session_that_lived_for_some_seconds_starts_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rested = await pauses(monkeypatch, [0.1, 0.1, 0.1, STEADY, 0.1], longest_rest=15)
    assert rested == [0.1, 0.2, 0.4, FIRST_PAUSE, 0.2]


async def test_a_broker_that_is_away_is_asked_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = await pauses(monkeypatch, [None] * 7, longest_rest=15)
    assert refused == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


BROKEN_OFF = """
import asyncio, gc, contextlib
from runtime.amqp.connection import connect

async def broken_off(turns):
    connecting = asyncio.create_task(connect("amqp://127.0.0.1:1/", name="test"))
    for _ in range(turns):
        await asyncio.sleep(0)
    connecting.cancel()
    with contextlib.suppress(BaseException):
        await connecting

for turns in range(60):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(broken_off(turns))
    asyncio.set_event_loop(None)
    gc.collect()
    loop.close()
    gc.collect()
"""


def test_a_connection_whose_making_is_broken_off_leaves_nothing_to_close() -> None:
    # A process of its own: what is collected where no loop runs is told on its standard error.
    ran = subprocess.run([sys.executable, "-c", BROKEN_OFF], capture_output=True, text=True, check=True)
    assert "never awaited" not in ran.stderr
