"""Starts and kills a consumer without a callback, and reads what it got and acknowledged."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import orjson

from tests.chaos.accounting.account import Arrival, Pair, Repeats
from tests.chaos.clients.fetcher import AUTHORIZATION

ROOT = Path(__file__).parents[3]
LIVES = (2.0, 6.0)
"""Seconds, at least and at most, after which it is killed and started again."""
KILLED = "a consumer that fetches was killed"
NO_ANSWER = "an acknowledgement was not answered with 204"
FORGOTTEN = "an acknowledgement is not in the ledger that was left"


class Record(ABC):
    """What came to one abonnement, by the lines of its consumer. Pure.

    arrivals: all that it got. repeats: what may come again. again: what did, not acknowledged. problems: what
    should not have happened.
    """

    def __init__(self, abonnement: str) -> None:
        self._abonnement = abonnement
        self.arrivals: list[Arrival] = []
        self.repeats: list[Repeats] = []
        self.again: set[Pair] = set()
        self.problems: list[str] = []

    @abstractmethod
    def heard(self, line: bytes) -> None:
        """A line of the consumer."""

    @abstractmethod
    def ended(self) -> None:
        """Its process ended."""


class Fetched(Record):
    """What came to one abonnement that is fetched."""

    def __init__(self, abonnement: str) -> None:
        super().__init__(abonnement)
        self._page: list[str] = []
        self._acknowledged: dict[str, float] = {}
        self._is_forgotten = False
        self._seen: set[str] = set()

    def heard(self, line: bytes) -> None:
        """A line of the consumer."""
        told = orjson.loads(line)
        if "unexpected" in told:
            self.problems.append(f"who fetches was answered with {told['unexpected']}: {told['body']}")
        elif "acknowledged" in told:
            if not self._is_forgotten:
                self._acknowledged |= dict.fromkeys(self._page, told["at"])
            self._page = []
        else:
            self.ended(NO_ANSWER)
            for id_, url in told["got"]:
                self._got(id_, int(url.rpartition("/")[2]), began=told["began"], at=told["at"])
            self._page = [id_ for id_, _ in told["got"]]

    def _got(self, id_: str, number: int, *, began: float, at: float) -> None:
        if self._acknowledged.get(id_, began) < began:
            self.problems.append(f"notificatie {number} was handed out after it was acknowledged")
        elif id_ in self._seen:
            self.again.add((id_, self._abonnement))
        self._seen.add(id_)
        self.arrivals.append(Arrival(number, id_, self._abonnement, at, answered=True))

    def ended(self, why: str = KILLED) -> None:
        """What was handed out last and is not acknowledged may come again."""
        if self._page:
            self.repeats.append(Repeats(why, len(self._page)))
        self._page = []

    def forgotten(self, *, for_good: bool = False, since: float | None = None) -> None:
        """No ledger knows any more what was acknowledged; for_good: nor what will be.

        since: only what was acknowledged from this moment on, each of which may come once more.
        """
        if since is None:
            self._acknowledged.clear()
        else:
            gone = [id_ for id_, at in self._acknowledged.items() if at >= since]
            self.repeats.append(Repeats(FORGOTTEN, len(gone)))
            for id_ in gone:
                del self._acknowledged[id_]
        self._is_forgotten = for_good


class Killed(ABC):
    """A consumer in a process of its own: killed at random moments, and started again.

    module: of the process. what: it is. seed: of the moments.
    """

    def __init__(self, record: Record, *, module: str, what: str, seed: str) -> None:
        self._record = record
        self._module = module
        self._what = what
        self._random = random.Random(seed)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._killing: asyncio.Task[None] | None = None
        self._spared = asyncio.Event()

    @abstractmethod
    def words(self) -> Sequence[str]:
        """The arguments of the next process."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """What it needs in its environment."""

    async def start(self) -> None:
        """Run from now on, killed now and then until `spare`; also after `stop`."""
        self._spared.clear()
        await self._start()
        self._killing = asyncio.create_task(self._kill_now_and_then(), name=f"kills of {self._what}")

    async def spare(self) -> None:
        """Kill it no more."""
        self._spared.set()
        if self._killing is not None:
            await self._killing

    async def stop(self) -> None:
        """It has ended, and all of its lines are read."""
        await self.spare()
        if self._process is not None:
            await self._kill()
            self._process = None

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._module, *self.words()),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        self._reading = asyncio.create_task(self._read(self._process), name=f"lines of {self._what}")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while (line := await process.stdout.readline()).endswith(b"\n"):
            self._record.heard(line)

    async def _kill(self) -> None:
        assert self._process is not None
        assert self._reading is not None
        if self._process.returncode is None:
            self._process.kill()
        else:
            self._record.problems.append(f"{self._what} ended by itself: {self._process.returncode}")
        await self._process.wait()
        await self._reading
        self._record.ended()

    async def _kill_now_and_then(self) -> None:
        while not self._spared.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._random.uniform(*LIVES)):
                    await self._spared.wait()
                return
            await self._kill()
            await self._start()


class Fetcher(Killed):
    """A consumer that fetches what is for one abonnement."""

    def __init__(
        self, abonnement: str, *, gateways: Sequence[tuple[str, int]], path: str, authorization: str
    ) -> None:
        self.record = Fetched(abonnement)
        super().__init__(self.record, module="tests.chaos.clients.fetcher", what="who fetches", seed=path)
        self._words = (path, *(f"{host}:{port}" for host, port in gateways))
        self._authorization = authorization

    def words(self) -> Sequence[str]:
        """Path and gateways."""
        return self._words

    def environment(self) -> Mapping[str, str]:
        """Its Authorization."""
        return {AUTHORIZATION: self._authorization}
