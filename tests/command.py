"""Runs `nrc` in tests: in this process where it only needs a registry, else as a process (forked.py)."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click
import structlog
from click.testing import CliRunner

from nrc.cli import main
from nrc.cli.lazy_commands import LazyCommand
from store.opening import open_registry
from tests.forked import FORKING


@dataclass(frozen=True)
class Ran:
    """What a command did. err: its standard error."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def every_command(group: click.Group = main, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group, loaded, with what one types for it."""
    for name, command in group.commands.items():
        found = command.load() if isinstance(command, LazyCommand) else command
        yield (*above, name), found
        if isinstance(found, click.Group):
            yield from every_command(found, *above, name)


def make_registry(folder: Path) -> None:
    """An empty registry, as the first process of a system makes it."""

    async def make() -> None:
        async with open_registry(folder / "registry.db"):
            pass

    asyncio.run(make())


def nrc(
    folder: Path, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> Ran:
    """Run a command in this process, in `folder` and with its state there."""
    with chdir(folder), _logging_put_back():
        result = CliRunner().invoke(main, arguments, input=stdin, env=_environment(folder, env or {}))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


async def nrc_process(
    folder: Path,
    *arguments: str,
    stdin: bytes | None = None,
    typed: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> Ran:
    """Run a command as a process of its own, in `folder` and with its state there.

    typed: on a terminal that is its standard input, in place of `stdin`.
    """
    wanted = _environment(folder, env or {})
    inherited = {name: value for name, value in os.environ.items() if name not in wanted}
    given = {name: value for name, value in wanted.items() if value is not None}
    with (
        _terminal(typed) as terminal,
        TemporaryFile() as piped,
        TemporaryFile() as out,
        TemporaryFile() as err,
    ):
        piped.write(stdin or b"")
        piped.seek(0)
        streams = (piped.fileno() if terminal is None else terminal, out.fileno(), err.fileno())
        running = FORKING.run(arguments, cwd=folder, env=inherited | given, streams=streams)
        code = await asyncio.wait_for(running, 60)
        out.seek(0)
        err.seek(0)
        return Ran(code, out.read().decode(), err.read().decode())


@contextmanager
def _terminal(typed: bytes | None) -> Iterator[int | None]:
    """The file descriptor of a terminal on which this is typed; None for nothing."""
    if typed is None:
        yield None
        return
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, typed)
        yield terminal
    finally:
        os.close(keyboard)
        os.close(terminal)


def _environment(folder: Path, env: Mapping[str, str]) -> dict[str, str | None]:
    """The variables to set, or (None) to take away: no settings but the test's own."""
    others = dict.fromkeys((name for name in os.environ if name.upper().startswith("NRC_")), None)
    return {**others, "NRC_STATE_DIR": str(folder), **env}


@contextmanager
def _logging_put_back() -> Iterator[None]:
    """A command sends logging to its own standard error; the next test has another."""
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
    config = structlog.get_config()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**config)
        structlog.contextvars.unbind_contextvars("process")
