"""Notes what an operator did and who it was: a line in `operator.log` beside the registry, and a row in the
registry.

Only appends, and only what was done: an act stands whether it can be noted or not, and what could not be
noted is told.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from operating.plain_text import moment, printable
from runtime.settings import Settings
from schemas.errors import RegistryError
from schemas.user import by_openid
from store.files.durable import make_folder
from store.registry import Act

if TYPE_CHECKING:
    from store.registry import Registry

FILE = "operator.log"
SHOWN = "shown"
"""The fact that says how people know the user of an act, where that is not by its name."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts, and by what means.

    user: of the operating system or, where `command` begins with `console`, of the console. sudo_user: who
    called sudo, else "". command: without its arguments, of which one may be a secret. address: from where
    they reach the console; stands among the facts of an act, and so do `shown`: how people know a user of
    an OpenID provider, and `file`: the name of the setup file that asks for it.
    """

    user: str
    command: str
    sudo_user: str = ""
    address: str = ""
    shown: str = ""
    file: str = ""


class Log:
    """Where acts of one operator are noted.

    registry: where it is open already. tell: called with a line for each act that could not be noted.
    """

    def __init__(
        self,
        settings: Settings,
        operator: Operator,
        *,
        tell: Callable[[str], None],
        registry: Registry | None = None,
    ) -> None:
        self._settings = settings
        self._operator = operator
        self._tell = tell
        self._registry = registry

    async def record(self, act: str, **facts: object) -> None:
        """Note `act`: in the file, then in the registry. After the act, not with it.

        facts: what it was done to, and `why` where that was said; a None is left out. Nothing secret.
        """
        await self.keep([self.append(act, **facts)])

    def append(self, act: str, **facts: object) -> Act:
        """Append a line of JSON to the file; returns what `keep` puts into the registry."""
        at, by = time.time(), self._operator
        told = {name: value for name, value in facts.items() if value is not None}
        if by.address:
            told["address"] = by.address
        if by.shown:
            told[SHOWN] = by.shown
        if by.file:
            told["file"] = by.file
        who = {"user": by.user, "sudo_user": by.sudo_user}
        line = {"timestamp": moment(at), "event": act, **{key: name for key, name in who.items() if name}}
        file = self._settings.registry_file.with_name(FILE)
        try:
            make_folder(file.parent)
            _append_line(file, json.dumps({**line, **told}, default=str))
        except OSError as error:
            self._tell(f"done, but not noted in {file}: {error.strerror or error}")
        return Act(
            at=at,
            act=act,
            command=by.command,
            user=printable(by.user),
            sudo_user=printable(by.sudo_user),
            host=socket.gethostname(),
            facts=json.loads(json.dumps(told, default=str)),
        )

    async def keep(self, acts: Sequence[Act]) -> None:
        """Put acts into the registry's table, in one transaction."""
        from store.opening import registry_is_there, registry_of

        if not acts:
            return
        try:
            if self._registry is not None:
                await self._registry.note_acts(acts)
            elif registry_is_there(self._settings):
                async with registry_of(self._settings) as opened:
                    await opened.note_acts(acts)
        except (RegistryError, OSError) as error:
            self._tell(f"done, but not noted in the registry (see {FILE}): {error}")


def who_did(act: Act) -> str:
    """Who did it, as people know them; the name itself is `act.user`."""
    shown = act.facts.get(SHOWN)
    return by_openid(str(shown)) if shown else act.user


def facts_of(act: Act) -> Mapping[str, object]:
    """An act as scripts get it, with the moment in RFC 3339."""
    return {
        "at": moment(act.at),
        "act": act.act,
        "user": act.user,
        "sudoUser": act.sudo_user or None,
        "host": act.host,
        "command": act.command,
        "facts": act.facts,
    }


def _append_line(file: Path, line: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.geteuid() == 0:
            # Else whoever runs NRC could append no more after one `sudo nrc …`.
            folder = file.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        # In one write, so that two processes at once leave two whole lines.
        os.write(descriptor, (line + "\n").encode())
    finally:
        os.close(descriptor)
