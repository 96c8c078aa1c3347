"""Limits the bytes buffered for slow clients: bodies that wait to be read, and answers not sent yet.

One limit for all connections together: beyond it the one without progress for longest is cut off.
"""

from __future__ import annotations

from typing import Protocol

from runtime.log import Occasional, logger

MOST = 64 * 1024 * 1024  # bytes for all connections together
SMALL = 16 * 1024  # bytes of each connection that do not count, in either direction
REPORT_INTERVAL = 30.0  # seconds

log = logger(__name__)


class Connection(Protocol):
    """The part of a connection that is used here."""

    def held(self) -> int:
        """The bytes that are buffered for it now."""

    def who(self) -> dict[str, str]:
        """Facts for a log line."""

    def cut_off(self) -> None:
        """Close it at once, and drop its buffers."""


class SlowClients:
    """The connections with more than SMALL in buffers, in order of their last progress, the oldest first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._of: dict[Connection, int] = {}
        self._full = Occasional(every=REPORT_INTERVAL)
        self.size = 0  # bytes, an upper bound: it is only recounted when it exceeds `most`

    def moved(self, connection: Connection) -> None:
        """Note that it received or sent something. If too much is buffered, others are cut off."""
        self.forget(connection)
        self._note(connection)
        if self.size > self._most:
            for one in list(self._of):
                self._note(one)
        while self.size > self._most and len(self._of) > 1:
            leaving = next(iter(self._of))
            if times := self._full.due():
                log.warning(
                    "too much is held for slow clients: cutting the slowest",
                    bytes=self.size,
                    most=self._most,
                    times=times,
                    **leaving.who(),
                )
            self.forget(leaving)
            leaving.cut_off()

    def forget(self, connection: Connection) -> None:
        """Remove a closed one."""
        self.size -= self._of.pop(connection, 0)

    def _note(self, connection: Connection) -> None:
        """Note what is buffered for it now; its place in the order stays."""
        held = connection.held()
        if held <= SMALL:
            self.forget(connection)
            return
        self.size += held - self._of.get(connection, 0)
        self._of[connection] = held
