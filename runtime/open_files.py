"""The limit on open files of this process, sockets included (`ulimit -n`), and the errors of reaching it.

What a process does when it has none left is its own.
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
"""Files. Not more: some programs that `nrc up` starts, such as RabbitMQ's Erlang, keep a table of as many as
they may open."""
LOOK = 5.0  # seconds between two looks at whether a file can be opened
REPORT_INTERVAL = 30.0  # seconds

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})

log = logger(__name__)


def allow_open_files(least: int = ENOUGH) -> int:
    """Raise the limit to the greater of `least` and ENOUGH, or as far as allowed; returns the new limit."""
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
    """Whether the error says that this process, or its host, has no file, memory or thread left."""
    if isinstance(error, socket.gaierror):  # its numbers have another meaning
        return error.errno == socket.EAI_MEMORY
    if not isinstance(error, OSError):
        return False
    if error.errno is None:
        # Where all addresses of a name failed with different errors, one error has the texts of all.
        return any(f"[Errno {number}]" in str(error) for number in _SHORTAGES)
    return error.errno in _SHORTAGES


def none_left() -> OSError | None:
    """Try to open a file: the error when there is none left, None when one could be opened.

    For a call that hides why it failed: `getaddrinfo` without a file left says that the name is not known,
    that an argument is invalid, or that it should be tried again, depending on the C library.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error if is_shortage(error) else None
    return None


async def tell_of_none_left() -> None:
    """Log at an interval while this process has no file left to open, until cancelled.

    Nothing else logs that: a connection that cannot be accepted waits, and the event loop says nothing.
    """
    shortages = Occasional(every=REPORT_INTERVAL)
    while True:
        if (error := none_left()) and shortages.due():
            log.warning("no file left to open", reason=error.strerror)
        await asyncio.sleep(LOOK)
