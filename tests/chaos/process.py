"""One process of the product under test: started and signalled alone, its log in a file."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nrc.processes import LABEL, READY, UP_FD

ROOT = Path(__file__).parents[2]
READY_TIMEOUT = 180.0  # seconds
STOP_TIMEOUT = 12.0  # seconds for a SIGTERM to be obeyed

_FAULTS = re.compile(
    rb'Traceback \(most recent call last\)|"exception":|Task exception was never retrieved'
    rb'|"event":"(?:fault|(?:delivery|probe) failed unexpectedly|request failed)"'
)
_GAVE_UP = re.compile(rb'"failure":"(?:timeout|queue_unavailable)"')
_UNCONFIRMED = re.compile(
    rb'"link":"deliverer (?:direct )?publishing".*"event":"broker connection lost or refused"'
)


@dataclass(frozen=True, slots=True)
class News:
    """What a log told. faults: what should never be there, such as a traceback.

    gave_up: requests of which the callback's answer came too late, if it came, and messages of which a
    consumer's queue gave no confirm in time. unconfirmed: how often messages may have got into a wait queue,
    or into those of consumers, of which nobody heard.
    """

    faults: list[str] = field(default_factory=list)
    gave_up: int = 0
    unconfirmed: int = 0


class Process:
    """A process `nrc <kind>`. env and prefix may be changed before a start; they hold from then on.

    prefix: a command in front of it, such as ["nice", "-n", "5"]. root: where its code is.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        *,
        env: Mapping[str, str],
        fds: Sequence[int],
        log: Path,
        root: Path = ROOT,
    ) -> None:
        self.kind = kind
        self.name = name
        self.env = dict(env)
        self.prefix: list[str] = []
        self.fds = tuple(fds)
        self.log = log
        self.root = root
        self._scanned = 0
        self._process: asyncio.subprocess.Process | None = None
        self._link: socket.socket | None = None
        self._is_ready = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Its process id; 0 when it does not run."""
        return self._process.pid if self._process is not None and self.alive else 0

    async def start(self) -> None:
        """It runs when this returns; `ready` waits for more."""
        assert not self.alive, f"{self.name} runs already"
        ours, theirs = socket.socketpair()
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("NRC_")}
        with theirs, self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.prefix,
                *(sys.executable, "-P", "-m", "nrc", self.kind),
                cwd=self.log.parent,
                env={
                    **inherited,
                    **self.env,
                    "PYTHONPATH": str(self.root),
                    LABEL: self.name,
                    UP_FD: str(theirs.fileno()),
                },
                pass_fds=(theirs.fileno(), *self.fds),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._is_ready.clear()
        self._watch(ours)

    def _watch(self, ours: socket.socket) -> None:
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        self._link = ours

        def readable() -> None:
            heard = b""
            with suppress(ConnectionError, BlockingIOError):
                heard = ours.recv(64)
            if heard.startswith(READY):
                self._is_ready.set()
            elif not heard:
                loop.remove_reader(ours)
                ours.close()

        loop.add_reader(ours, readable)

    async def ready(self, *, within: float = READY_TIMEOUT) -> None:
        """Return once it has said that it is ready. Raises TimeoutError, or RuntimeError when it ended."""
        assert self._process is not None
        ended = asyncio.ensure_future(self._process.wait())
        said = asyncio.ensure_future(self._is_ready.wait())
        try:
            async with asyncio.timeout(within):
                await asyncio.wait({ended, said}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise TimeoutError(f"{self.name} is not ready after {within:g} s; see {self.log}") from None
        finally:
            ended.cancel()
            said.cancel()
        if not self._is_ready.is_set():
            raise RuntimeError(f"{self.name} ended ({self._process.returncode}); see {self.log}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self.alive:
            with suppress(ProcessLookupError):
                # All of its session, so that a prefix and what it started hear of it.
                os.killpg(self._process.pid, number)

    async def ended(self, *, within: float = STOP_TIMEOUT) -> int:
        """Its exit code. Raises TimeoutError."""
        assert self._process is not None
        try:
            async with asyncio.timeout(within):
                return await self._process.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.name} did not end within {within:g} s; see {self.log}") from None

    def news(self) -> News:
        """What its log has since the last look."""
        if not self.log.exists():
            return News()
        with self.log.open("rb") as stream:
            stream.seek(self._scanned)
            text = stream.read()
            self._scanned += len(text)
        lines = text.splitlines()
        return News(
            faults=[
                f"{self.name}: {line[:600].decode(errors='replace')}"
                for line in lines
                if _FAULTS.search(line)
            ],
            gave_up=sum(bool(_GAVE_UP.search(line)) for line in lines),
            unconfirmed=sum(bool(_UNCONFIRMED.search(line)) for line in lines),
        )


@contextmanager
def hanging(*pids: int) -> Iterator[None]:
    """These processes hang for as long as the context is open (SIGSTOP), and then go on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
