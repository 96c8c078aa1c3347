"""Limits the open connections of one gateway: beyond the limit the one idle for longest is closed."""

from __future__ import annotations

from typing import Protocol

from runtime.log import Occasional, logger
from runtime.open_files import allow_open_files

KEPT_FREE = 200  # files for other uses than clients: RabbitMQ, registry, callbacks, pages
REPORT_INTERVAL = 30.0  # seconds

log = logger(__name__)


class Connection(Protocol):
    """The part of a connection that is used here."""

    @property
    def is_idle(self) -> bool:
        """Whether no request on it is being answered: none came, or its header is not complete."""

    def force_close(self) -> None:
        """Close it at once."""


class Connections:
    """The `open` connections, in order of their last received bytes, the oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.open: dict[Connection, None] = {}
        self._full = Occasional(every=REPORT_INTERVAL)

    def add(self, connection: Connection) -> None:
        """Add one; beyond the limit close the one idle for longest, or this one when none is idle."""
        self.open[connection] = None
        if len(self.open) <= self._most:
            return
        if times := self._full.due():
            log.warning("too many connections: closing idle ones", most=self._most, times=times)
        leaving = next((one for one in self.open if one.is_idle), connection)
        del self.open[leaving]
        leaving.force_close()

    def heard(self, connection: Connection) -> None:
        """Note that bytes came in on it."""
        if connection in self.open:
            del self.open[connection]
            self.open[connection] = None

    def remove(self, connection: Connection) -> None:
        """Remove a closed one."""
        self.open.pop(connection, None)


def most_connections(wanted: int) -> int:
    """The limit on connections: `wanted`, or fewer where this process may open fewer files."""
    return max(min(wanted, allow_open_files(wanted + KEPT_FREE) - KEPT_FREE), 10)
