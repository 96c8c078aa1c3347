"""The audit log: a line for each act of an operator, and who it was, in `operator.log` beside the registry.

Commands end, and their standard error with them; this stays. Only appends, and only what was done.
"""

from __future__ import annotations

import json
import os
import pwd
import time
from functools import cache

from nrc.cli.showing import moment, note
from runtime.settings import Settings

FILE = "operator.log"

# Of a thousand acts of one command the same fault is said once.
_note_once = cache(note)


def record(settings: Settings, act: str, **facts: object) -> None:
    """Append that this user did `act`, as one line of JSON; it was done, whether this can be written or not.

    facts: what it was done to; a None is left out. Nothing secret.
    """
    line = {"timestamp": moment(time.time()), "event": act, **_who(), **facts}
    told = {name: value for name, value in line.items() if value is not None}
    file = settings.registry_file.with_name(FILE)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.geteuid() == 0:
                # Else whoever runs NRC could append no more after one `sudo nrc …`.
                folder = file.parent.stat()
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
            # In one write, so that two commands at once leave two whole lines.
            os.write(descriptor, (json.dumps(told, default=str) + "\n").encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        _note_once(f"done, but not noted in {file}: {error.strerror or error}")


def _who() -> dict[str, object]:
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container's user may have a number only
        name = str(number)
    return {"user": name, "sudo_user": os.environ.get("SUDO_USER") or None}
