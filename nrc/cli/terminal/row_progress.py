"""How far a long copy of rows is: a bar on a terminal, else a line on standard error now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from nrc.cli.terminal.output import note

EVERY = 10.0
"""Seconds between two lines."""

Telling = Callable[[str, str, int, int], None]
"""Called with what is done, the table, how many of its rows, and of how many."""


@contextmanager
def telling(*, terminal: bool) -> Iterator[Telling]:
    """What to call after some rows."""
    if not terminal:
        yield Lines().tell
        return
    from nrc.cli.terminal.progress_bar import progress_bar

    with progress_bar("{task.description}", shown=True) as bar:
        task = bar.add_task("")

        def show(doing: str, table: str, done: int, all_: int) -> None:
            bar.update(task, description=f"{doing}: {table}", completed=done, total=all_)

        yield show


class Lines:
    """Lines with counts, one in EVERY seconds. clock: monotonic, in seconds."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._next = clock() + EVERY
        self._rows = 0
        self._last = ("", "", 0)

    def tell(self, doing: str, table: str, done: int, all_: int) -> None:
        """So many rows of this table are done."""
        before = self._last[2] if self._last[:2] == (doing, table) else 0
        self._rows += done - before
        self._last = (doing, table, done)
        if (now := self._clock()) >= self._next:
            self._next = now + EVERY
            note(f"{doing}: {table} {done} of {all_}; {self._rows} rows since the begin")
