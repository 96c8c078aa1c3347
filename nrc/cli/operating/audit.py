"""Records what a command did, and the operating system's user who typed it (operating/acts.py)."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import click

from nrc.cli.terminal.output import note
from operating.acts import Log, Operator
from runtime.settings import Settings

if TYPE_CHECKING:
    from store.registry import Act, Registry

# One line for the same fault of a thousand acts of one command.
_note_once = cache(note)


async def record(settings: Settings, act: str, *, registry: Registry | None = None, **facts: object) -> None:
    """Note that this user did `act`: in the file, then in the registry. After the act, not with it.

    registry: where it is open already. facts: what it was done to; a None is left out. Nothing secret.
    """
    await log_of(settings, registry=registry).record(act, **facts)


def append(settings: Settings, act: str, **facts: object) -> Act:
    """Append a line of JSON to the file; returns what `keep` puts into the registry."""
    return log_of(settings).append(act, **facts)


async def keep(settings: Settings, acts: Sequence[Act], *, registry: Registry | None = None) -> None:
    """Put acts into the registry's table, in one transaction. registry: where it is open already."""
    await log_of(settings, registry=registry).keep(acts)


def log_of(settings: Settings, *, registry: Registry | None = None, file: str = "") -> Log:
    """Where what this command does is noted. file: the setup file that asks for it."""
    return Log(settings, _operator(file), tell=_note_once, registry=registry)


def _operator(file: str = "") -> Operator:
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container's user may have no name
        name = str(number)
    return Operator(name, _command(), os.environ.get("SUDO_USER", ""), file=file)


def _command() -> str:
    """The command that runs, such as `application add`; without arguments, which may be secret."""
    context = click.get_current_context(silent=True)
    names = []
    while context is not None and context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return " ".join(reversed(names))
