"""How far a long copy of rows is: a bar on a terminal, else a line on standard error now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from nrc.cli.terminal.output import note

if TYPE_CHECKING:
    from ledger.moving.moving import Progress

EVERY = 10.0
"""Seconds between two lines."""


@contextmanager
def row_progress(*, terminal: bool) -> Iterator[Progress]:
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
        self._done: dict[tuple[str, str], int] = {}

    def tell(self, doing: str, table: str, done: int, all_: int) -> None:
        """So many rows of this table are done."""
        self._done[doing, table] = done
        if (now := self._clock()) >= self._next:
            self._next = now + EVERY
            note(f"{doing}: {table} {done} of {all_}; {sum(self._done.values())} rows since the begin")
