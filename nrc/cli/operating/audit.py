"""What operators did and who it was: a line in `operator.log` beside the registry, and a row in the registry.

Commands end, and their standard error with them; this stays. Only appends, and only what was done: an act
stands whether it can be noted or not, and what could not be noted is told.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import click

from nrc.cli.terminal.output import moment, note, printable
from runtime.settings import Settings
from schemas.errors import RegistryError

if TYPE_CHECKING:
    from store.registry import Act, Registry

FILE = "operator.log"

# Of a thousand acts of one command the same fault is said once.
_note_once = cache(note)


async def record(settings: Settings, act: str, *, registry: Registry | None = None, **facts: object) -> None:
    """Note that this user did `act`: in the file, then in the registry. After the act, not with it.

    registry: where it is open already. facts: what it was done to; a None is left out. Nothing secret.
    """
    await keep(settings, [append(settings, act, **facts)], registry=registry)


def append(settings: Settings, act: str, **facts: object) -> Act:
    """Append a line of JSON to the file; returns what `keep` puts into the registry."""
    from store.registry import Act

    at, who = time.time(), _who()
    told = {name: value for name, value in facts.items() if value is not None}
    line = {"timestamp": moment(at), "event": act, **{key: name for key, name in who.items() if name}, **told}
    file = settings.registry_file.with_name(FILE)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.geteuid() == 0:
                # Else whoever runs NRC could append no more after one `sudo nrc …`.
                folder = file.parent.stat()
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
            # In one write, so that two commands at once leave two whole lines.
            os.write(descriptor, (json.dumps(line, default=str) + "\n").encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        _note_once(f"done, but not noted in {file}: {error.strerror or error}")
    return Act(
        at=at,
        act=act,
        command=_command(),
        user=printable(who["user"]),
        sudo_user=printable(who["sudo_user"]),
        host=socket.gethostname(),
        facts=json.loads(json.dumps(told, default=str)),
    )


async def keep(settings: Settings, acts: Sequence[Act], *, registry: Registry | None = None) -> None:
    """Put acts into the registry's table, in one transaction. registry: where it is open already."""
    from store.opening import registry_of

    if not acts:
        return
    try:
        if registry is not None:
            await registry.note_acts(acts)
        elif settings.registry_file.exists():
            async with registry_of(settings) as opened:
                await opened.note_acts(acts)
    except (RegistryError, OSError) as error:
        _note_once(f"done, but not noted in the registry (see {FILE}): {error}")


def _who() -> Mapping[str, str]:
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container's user may have a number only
        name = str(number)
    return {"user": name, "sudo_user": os.environ.get("SUDO_USER", "")}


def _command() -> str:
    """The command that runs, such as `application add`; no arguments, of which one may be a secret."""
    context = click.get_current_context(silent=True)
    names = []
    while context is not None and context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return " ".join(reversed(names))
