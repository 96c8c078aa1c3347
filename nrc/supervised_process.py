"""One process that `nrc up` starts, watches, and restarts when it dies.

Owns the process and the socket that links it with `nrc up` (nrc/processes.py has the other end). When to
start and in which order to stop is decided in nrc/up.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from nrc.forking import UNKNOWN, CannotFork, Forker
from nrc.processes import LABEL, READY, UP_FD
from runtime.log import logger
from schemas.errors import NrcError

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before a process that died is started again
STEADY = 60.0  # seconds of life after which the pauses start from FIRST_PAUSE again

log = logger(__name__)


def next_pause(pause: float, *, lived: float) -> float:
    """Seconds before the next start, after a pause of `pause` and a life of `lived` seconds."""
    return FIRST_PAUSE if lived >= STEADY else min(pause * 2, LONGEST_PAUSE)


class DidNotStart(NrcError):
    """A process ended before it was ready."""


class Process(Protocol):
    """A process, forked or started as a program."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """None while it runs."""

    async def wait(self) -> int:
        """The same, once it has ended."""

    def send_signal(self, number: int, /) -> None:
        """Raises ProcessLookupError."""


class Child:
    """A process `nrc <name>`, from `start` until `terminate`. label: its name among those of its kind.

    forker: forks it; without one, or when that fails, it is started as a program.
    """

    def __init__(
        self, name: str, label: str, *, env: Mapping[str, str], fds: Sequence[int], forker: Forker | None
    ) -> None:
        self.name = name
        self.label = label
        self.env = dict(env)
        self._fds = tuple(fds)
        self._forker = forker
        self._process: Process | None = None
        self._stopping = False
        self._ready = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Its process now; None when there is none."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def start(self) -> None:
        """Start it, and return when it is ready. Raises DidNotStart when it ends first."""
        await self._spawn()
        ready = asyncio.create_task(self._ready.wait())
        ended = asyncio.create_task(self._ended())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not self._ready.is_set():
                raise DidNotStart(
                    f"the {self.label} did not start ({self._how_it_ended()}); its last lines say why"
                )
        finally:
            ready.cancel()
            ended.cancel()

    async def keep_alive(self) -> None:
        """Restart it whenever it dies, until `terminate`."""
        pause = FIRST_PAUSE / 2
        while True:
            began = time.monotonic()
            await self._ended()
            if self._stopping:
                return
            if self._was_told_to_stop():
                log.info("a process was told to stop; starting it again", name=self.label)
            else:
                pause = next_pause(pause, lived=time.monotonic() - began)
                log.warning("a process died", name=self.label, how=self._how_it_ended(), again_in_s=pause)
                await asyncio.sleep(pause)
                if self._stopping:
                    return
            await self._spawn()
            log.info("started again", name=self.label, pid=self.pid)

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to stop; it is not started again."""
        self._stopping = True
        self.signal(number)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def gone(self) -> None:
        """Return when there is no process any more."""
        await self._ended()

    async def _ended(self) -> None:
        if self._process is not None:
            await self._process.wait()

    def _was_told_to_stop(self) -> bool:
        """Whether somebody stopped it by hand: it had worked, and ended with exit code 0."""
        return self._ready.is_set() and self._process is not None and self._process.returncode == 0

    def _how_it_ended(self) -> str:
        code = self._process.returncode if self._process else None
        if code is not None and code < 0:
            return signal.Signals(-code).name
        if code == UNKNOWN:
            return "it is not known how"
        return f"exit code {code}"

    async def _spawn(self) -> None:
        if self._forker is not None:
            try:
                await self._spawn_by(self._forker.start)
            except CannotFork as error:
                log.warning("not forked: starting it as a program", name=self.label, reason=str(error))
            else:
                return
        await self._spawn_by(_start_program)

    async def _spawn_by(
        self, start: Callable[[str, Mapping[str, str], Sequence[int]], Awaitable[Process]]
    ) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                env = {**self.env, LABEL: self.label, UP_FD: str(theirs.fileno())}
                self._process = await start(self.name, env, (theirs.fileno(), *self._fds))
        except BaseException:
            ours.close()  # a process that was forked nevertheless stops by itself
            raise
        self._ready.clear()
        self._watch(ours)

    def _watch(self, ours: socket.socket) -> None:
        """Wait for READY; keep the socket open until the process closes its end, since it watches ours."""
        ours.setblocking(False)
        loop = asyncio.get_running_loop()

        def readable() -> None:
            heard = b""
            with suppress(ConnectionError, BlockingIOError):
                heard = ours.recv(64)
            if heard.startswith(READY):
                self._ready.set()
            elif not heard:
                loop.remove_reader(ours)
                ours.close()

        loop.add_reader(ours, readable)


async def _start_program(name: str, env: Mapping[str, str], fds: Sequence[int]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        # -P: nothing is imported from the working directory.
        *(sys.executable, "-P", "-m", "nrc", name),
        env={**os.environ, **env},
        pass_fds=fds,
        stdin=asyncio.subprocess.DEVNULL,
        # Ctrl-C in the terminal is for `nrc up`, which stops everything in order.
        start_new_session=True,
    )
