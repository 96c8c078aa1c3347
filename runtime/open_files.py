"""The files that this process may open, sockets included: how many, and which errors say that none is left.

Owns the limit (`ulimit -n`). What a process does when it has none left is its own.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from contextlib import suppress

from runtime.log import Occasional, logger

ENOUGH = 65536
"""Files. More would cost: some programs that `nrc up` starts, RabbitMQ's Erlang among them, keep a table of
as many as they may open."""
LOOK = 5.0  # seconds between two looks whether a file is left
REPORT_INTERVAL = 30.0  # seconds

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})

log = logger(__name__)


def allow_open_files(least: int = ENOUGH) -> int:
    """Raise the limit to the greater of `least` and ENOUGH, or as far as may be; gives what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(least, ENOUGH)
    if soft == resource.RLIM_INFINITY:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft >= allowed:
        return soft
    with suppress(ValueError, OSError):  # the kernel may have a limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        return allowed
    return soft


def is_shortage(error: BaseException) -> bool:
    """Whether it says that this process, or its host, has no file, memory or thread left."""
    if isinstance(error, socket.gaierror):  # its numbers are others
        return error.errno == socket.EAI_MEMORY
    if not isinstance(error, OSError):
        return False
    if error.errno is None:
        # Where every address of a name failed, and not alike, there is one error with the text of all.
        return any(f"[Errno {number}]" in str(error) for number in _SHORTAGES)
    return error.errno in _SHORTAGES


def none_left() -> OSError | None:
    """The error of opening one more file now, when that is a lack of them; None when one could be opened.

    For a call that hides the reason it failed for: `getaddrinfo` without a file left says that the name is
    not known, that an argument is invalid, or that it should be tried again, as the C library has it.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error if is_shortage(error) else None
    return None


async def tell_of_none_left() -> None:
    """A line now and then while this process has no file left to open, until cancelled.

    For what has no other line: a connection that cannot be accepted waits, and the event loop is silent.
    """
    shortages = Occasional(every=REPORT_INTERVAL)
    while True:
        if (error := none_left()) and shortages.due():
            log.warning("no file left to open", reason=error.strerror)
        await asyncio.sleep(LOOK)
