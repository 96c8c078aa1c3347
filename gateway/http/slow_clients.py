"""Bytes buffered for slow clients: bodies that wait to be read, and answers that are not taken.

Bounded in bytes, for all connections together: beyond it the one that moved nothing for longest is cut off.
"""

from __future__ import annotations

from typing import Protocol

from runtime.log import Occasional, logger

MOST = 64 * 1024 * 1024  # bytes for all connections together
SMALL = 16 * 1024  # bytes that each connection may have besides, in either direction
REPORT_INTERVAL = 30.0  # seconds

log = logger(__name__)


class Connection(Protocol):
    """What is asked of a connection here."""

    def held(self) -> int:
        """The bytes that are held for it now."""

    def who(self) -> dict[str, str]:
        """What a log line says of it."""

    def cut_off(self) -> None:
        """Close it at once, with what is held for it."""


class SlowClients:
    """The connections for which more than SMALL is held. First is the one that moved longest ago."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._of: dict[Connection, int] = {}
        self._full = Occasional(every=REPORT_INTERVAL)
        self.size = 0  # bytes, at most: what has been read since is only seen when there is too much

    def moved(self, connection: Connection) -> None:
        """Something came in on it or went out. If too much is held, others are cut off."""
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
        """It is closed."""
        self.size -= self._of.pop(connection, 0)

    def _note(self, connection: Connection) -> None:
        """What is held for it now; its place in the row stays."""
        held = connection.held()
        if held <= SMALL:
            self.forget(connection)
            return
        self.size += held - self._of.get(connection, 0)
        self._of[connection] = held
