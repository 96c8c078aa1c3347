"""The machine whose power is cut: `nrc up` with all its processes, its state folder on a disk that forgets.

Publisher and consumer are elsewhere: they see connections break, and go on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from tests.chaos.power.disk import ROOT, Disk

START_TIMEOUT = 150.0  # seconds; RabbitMQ has 90 of them
READY = b"NRC ready"
TRIES = 4
"""How often `nrc up` is started after a cut, as a service manager would."""


class DidNotStart(Exception):
    """`nrc up` ended, or was not ready in time."""


_BOOTED = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


class Machine:
    """`nrc up` in a session of its own. failed_starts: what it said each time that it did not start.

    Each start sees another boot id, as after a real cut.
    """

    def __init__(self, disk: Disk, *, env: dict[str, str], log: Path) -> None:
        self._disk = disk
        self.env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
        self.log = log
        self._up: asyncio.subprocess.Process | None = None
        self._draining: asyncio.Task[None] | None = None
        self._boot_id = log.with_name("boot_id")
        self._new_boot_id()
        self.failed_starts: list[str] = []

    async def start(self) -> float:
        """Everything is ready when this returns: after how many seconds. Raises DidNotStart."""
        began = time.monotonic()
        for attempt in range(1, TRIES + 1):
            await self.switch_on()
            try:
                await self.ready()
                return time.monotonic() - began
            except DidNotStart as error:
                self.failed_starts.append(str(error))
                self.kill()
                if attempt == TRIES:
                    raise
                await asyncio.sleep(2)
        raise AssertionError

    async def switch_on(self) -> None:
        """`nrc up` is being started."""
        self._new_boot_id()
        with self.log.open("ab") as log:
            log.write(b"---- on ----\n")
            self._up = await asyncio.create_subprocess_exec(
                *self._booted(sys.executable, "-m", "tests.chaos.power.up", "up", "--no-demo"),
                cwd=ROOT,
                env=self.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    def _new_boot_id(self) -> None:
        # A new file: what was started before keeps the old one mounted.
        self._boot_id.unlink(missing_ok=True)
        self._boot_id.write_text(f"{uuid4()}\n")

    def _booted(self, *command: str) -> tuple[str, ...]:
        """The command, with the boot id of the last start in place of the kernel's."""
        return ("unshare", "--mount", "sh", "-c", _BOOTED, str(self._boot_id), *command)

    async def ready(self) -> None:
        """Return once it says that it is. Raises DidNotStart."""
        assert self._up and self._up.stdout
        said = b""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while line := await self._up.stdout.readline():
                    if line.startswith(READY):
                        self._draining = asyncio.create_task(self._drain(self._up.stdout))
                        return
                    said = line
        except TimeoutError:
            raise DidNotStart(f"not ready within {START_TIMEOUT:g} s; last: {said.decode()}") from None
        last = self.log.read_bytes().splitlines()[-3:]
        told = b" / ".join(last).decode(errors="replace")
        raise DidNotStart(f"nrc up ended ({await self._up.wait()}): {told[:1000]}")

    @staticmethod
    async def _drain(stream: asyncio.StreamReader) -> None:
        while await stream.readline():
            pass

    def kill(self) -> list[int]:
        """SIGKILL for every process at once; their ids."""
        if self._up is None:
            return []
        # `nrc up` last: its processes stop by themselves when they see that it is gone.
        pids = [*_below(self._up.pid), self._up.pid] if self._up.returncode is None else []
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    async def cut(self) -> None:
        """The power of a machine whose disk was frozen goes: nothing runs any more when this returns."""
        pids = self.kill()
        self._disk.cut()
        await self._gone(pids)

    async def stop(self) -> None:
        """As an operator stops it."""
        if self._up is not None and self._up.returncode is None:
            pids = _below(self._up.pid)
            self._up.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(60):
                    await self._up.wait()
            pids += self.kill()
            await self._gone(pids)

    async def _gone(self, pids: list[int]) -> None:
        if self._up is not None:
            await self._up.wait()
        async with asyncio.timeout(60):
            for pid in pids:
                while _runs(pid):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def nrc(self, *words: str) -> str:
        """What a command of `nrc` prints, or says when it fails."""
        process = await asyncio.create_subprocess_exec(
            *self._booted(sys.executable, "-m", "nrc", *words),
            cwd=ROOT,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return said.decode()


def _runs(pid: int) -> bool:
    """Whether it is there; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _below(pid: int) -> list[int]:
    """Every process that this one started, and that those started. What became a daemon (epmd) is left."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [pid]
    while left:
        more = children.get(left.pop(), [])
        found += more
        left += more
    return found
