"""`nrc …` as a real process whose output a test reads while it runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.eventually import eventually

NRC = (sys.executable, "-P", "-m", "nrc")


def environment(**settings: str) -> dict[str, str]:
    """The environment without the settings of whoever runs the tests, and with these; without a console."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NRC_")}
    return kept | {"NRC_CONSOLE_LISTEN": ""} | settings


class Running:
    """One process; `out` and `err` are what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = ""
        self.err = ""
        self._reading = [
            asyncio.create_task(self._read("out", process.stdout)),
            asyncio.create_task(self._read("err", process.stderr)),
        ]

    async def _read(self, name: str, stream: asyncio.StreamReader | None) -> None:
        assert stream
        while line := await stream.readline():
            setattr(self, name, getattr(self, name) + line.decode())

    async def says(self, text: str, *, within: float = 180) -> None:
        """Return once `text` is in its standard output; AssertionError with its output when it never is."""
        await self._has("out", text, within)

    async def logs(self, text: str, *, within: float = 180) -> None:
        """The same for standard error."""
        await self._has("err", text, within)

    async def _has(self, name: str, text: str, within: float) -> None:
        try:
            await eventually(
                lambda: text in getattr(self, name) or self.process.returncode is not None, within=within
            )
            assert text in getattr(self, name)
        except AssertionError:
            raise AssertionError(
                f"{text!r} is not in std{name}; exit code {self.process.returncode}\n{self.out}\n{self.err}"
            ) from None

    async def ends(self, *, within: float) -> int:
        """Its exit code; all output has been read."""
        async with asyncio.timeout(within):
            code = await self.process.wait()
        # What it left behind may still hold the pipes.
        await asyncio.wait(self._reading, timeout=1)
        return code

    async def stop(self, number: signal.Signals = signal.SIGTERM, *, within: float = 60) -> int:
        """Send a signal; its exit code."""
        self.process.send_signal(number)
        return await self.ends(within=within)

    async def close(self) -> None:
        """It has ended, whatever it takes."""
        if self.process.returncode is None:
            with suppress(TimeoutError):
                await self.stop(within=20)
        if self.process.returncode is None:
            await self.stop(signal.SIGKILL)
        for task in self._reading:
            task.cancel()
        await asyncio.wait(self._reading)
        # asyncio closes the pipes of a process only once nobody at all can write to them.
        self.process._transport.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def running(
    *command: str, cwd: Path | None = None, env: dict[str, str], **options: Any
) -> AsyncIterator[Running]:
    """A process that is gone at the end of the context."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **options,
    )
    run = Running(process)
    try:
        yield run
    finally:
        await run.close()


async def nrc(*arguments: str, env: dict[str, str], cwd: Path | None = None) -> Running:
    """A command of ours that has ended."""
    async with running(*NRC, *arguments, env=env, cwd=cwd) as run:
        await run.ends(within=60)
    return run
