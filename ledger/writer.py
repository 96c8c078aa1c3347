"""Group commits: writes the events of one process to the ledger, one transaction after the other.

A commit begins when the last one has ended, and at least APART after that one began (NOBODY_WAITS_APART
where no caller waits for any of it); later events go into the next. When the ledger cannot be written,
waiting callers get an error, and other events are kept in memory, bounded. An event that the ledger rejects
is separated from the others. Of entries and outcomes that were given up the ledger gets a note: their times,
and how many entries (Incomplete). Those in memory when the process ends are noted in its file (unwritten.py).

It knows nothing else of what events mean, and of no database.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from time import monotonic
from typing import Protocol

from ledger.unwritten import Unwritten
from ledger.values import Entry, Event, Heartbeat, Incomplete, Outcome
from runtime.log import Occasional, logger
from schemas.errors import LedgerError, LedgerFull

APART = 0.010  # seconds between the begins of two commits, at least
NOBODY_WAITS_APART = 0.025  # the same where nobody waits: each costs as much as ten outcomes in it
MOST_AT_ONCE = 500  # events in one commit, of which at most 400 are waited for
MOST_WAITED_FOR = 400
MOST_BYTES_AT_ONCE = 8 * 1024 * 1024  # of one commit, or a single larger event
MOST_NOTED = 50_000  # events that nobody waits for, in memory
MOST_NOTED_BYTES = 64 * 1024 * 1024
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds before the next try, while the ledger cannot be written
SLOW = 0.2  # seconds; a commit that fails later than that failed by the database, not by its events
HANGS = 0.5  # seconds; what a commit writes is noted as unwritten when it takes longer
TRIES = 3  # of an event that fails alone while others are written
LACKING_APART = 60.0  # seconds between two notes in the ledger of what it lacks
LEDGER_OPENS = 2.0  # seconds, at most, that a process that starts waits for the ledger
REPORT_INTERVAL = 10.0  # seconds between two lines that say the same

_OVERHEAD = 500  # bytes of memory that an event takes beside its body, about
_HAND = 200  # and of each delivery that a heartbeat names

log = logger(__name__)


class Writes(Protocol):
    """The part of `ledger.ledger.Ledger` that is used here."""

    async def write(self, events: Sequence[Event]) -> None:
        """Keep all of these in one transaction, or none. Raises LedgerError."""


class Writing:
    """Events that go into the same commit.

    written: done when they are durable, with a LedgerError when they will not be. None: nobody waits.
    until: monotonic time before which a failure is followed by another try. then: called once, when they are
    durable or given up.
    """

    __slots__ = ("events", "size", "then", "tries", "until", "written")

    def __init__(
        self,
        events: tuple[Event, ...],
        written: asyncio.Future[None] | None,
        *,
        until: float = 0.0,
        then: Callable[[], None] | None = None,
    ) -> None:
        self.events = events
        self.then = then
        self.size = sum(map(_size_of, events))
        self.tries = 0
        self.until = until
        self.written = written

    @property
    def durable(self) -> bool:
        """Whether they are known to be written."""
        written = self.written
        return (
            written is not None and written.done() and not written.cancelled() and written.exception() is None
        )

    def fail(self, error: LedgerError) -> None:
        """Give the error to the caller that waits."""
        if self.written is not None and not self.written.done():
            self.written.set_exception(error)
            self.written.exception()  # counts as retrieved, also when nobody waits any more


class Writer:
    """The events of one process on their way into `ledger`; `run` commits them.

    lost: events that were given up, by type: what `note` had no room for, what the ledger did not take, and
    what was not written when the process ended. unwritten: its file; None in a process that writes no entries
    or outcomes.
    """

    def __init__(
        self,
        ledger: Writes,
        *,
        unwritten: Unwritten | None = None,
        most_noted: int = MOST_NOTED,
        most_bytes: int = MOST_NOTED_BYTES,
    ) -> None:
        self._ledger = ledger
        self._unwritten = unwritten
        self._some_failed = False  # of the last commit
        self._is_told = False  # whether the file exists
        self._telling: asyncio.Task[None] | None = None
        self._most_noted, self._most_bytes = most_noted, most_bytes
        self._waited_for: OrderedDict[Writing, None] = OrderedDict()
        self._noted: OrderedDict[Writing, None] = OrderedDict()
        self._noted_bytes = 0
        self._under_way: list[Writing] = []
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._urgent = asyncio.Event()  # somebody waits, or this is closed
        self._idle.set()
        self._began = 0.0
        self._pause = 0.0  # seconds before the next try; 0 while the ledger can be written
        self._looked = asyncio.Event()
        self._fault = LedgerError("not opened yet")
        self._failures = Occasional(every=REPORT_INTERVAL)
        self._unexpected = Occasional(every=REPORT_INTERVAL)
        self._losses = Occasional(every=REPORT_INTERVAL)
        self._untold = Occasional(every=REPORT_INTERVAL)
        self.lost: Counter[str] = Counter()
        self._lacking: Incomplete | None = None
        self._lacking_told = 0.0  # monotonic

    @property
    def why_not(self) -> str:
        """Why the ledger cannot be written, in a line; "" when it can."""
        return str(self._fault) if self._pause or not self._looked.is_set() else ""

    async def first_look(self, *, within: float = LEDGER_OPENS) -> None:
        """Return when it is known whether the ledger can be written, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._looked.wait()

    @property
    def behind_since(self) -> int | None:
        """When the oldest entry or outcome that is not written was made, in milliseconds; None: all are."""
        first = _first_lacking(chain(self._under_way, self._waited_for, self._noted))
        return None if first is None else first.since

    @property
    def waiting(self) -> int:
        """How many of `put` and `note` are not written yet."""
        return len(self._waited_for) + len(self._noted) + len(self._under_way)

    def put(self, *events: Event, patience: float = 0.0) -> Writing:
        """Put these into the next commit, all or none. Wait for `written`, then `keep` or `withdraw` it.

        patience: seconds in which a failure is followed by another try. With 0, while the ledger cannot be
        written, one caller takes part in each try and the others fail at once.
        """
        until = monotonic() + patience if patience else 0.0
        writing = Writing(events, asyncio.get_running_loop().create_future(), until=until)
        if self._pause and self._waited_for and not patience:
            writing.fail(self._fault)
        else:
            self._waited_for[writing] = None
            self._urgent.set()
            self._there_is_work()
        return writing

    async def add(self, *events: Event, within: float) -> None:
        """Return when these are durable, all in one commit. Raises LedgerError, after `within` seconds too.

        A failure is followed by another try within that time. When this is cancelled they are withdrawn,
        unless their commit is under way.
        """
        writing = self.put(*events, patience=within)
        assert writing.written is not None  # noqa: S101 - put makes it
        try:
            async with asyncio.timeout(within):
                await writing.written
        except TimeoutError:
            raise LedgerError(self.why_not or f"no commit to the ledger within {within:g} s") from None
        finally:
            self.withdraw(writing)

    def note(self, *events: Event, then: Callable[[], None] | None = None) -> None:
        """Put these into a later commit, all or none; counted in `lost` when there is no room for them.

        then: called once, when they are durable or lost; it must not raise, nor take long.
        """
        self._keep(Writing(events, None, then=then))

    def keep(self, writing: Writing) -> None:
        """Write it still, though nobody waits for it any more: as if by `note`."""
        if writing.written is None or writing.durable:
            return
        writing.written = None
        if writing not in self._under_way:
            self._waited_for.pop(writing, None)
            self._keep(writing)

    def withdraw(self, writing: Writing) -> bool:
        """Take it back. Whether that succeeded: it was not written, and will not be."""
        self._waited_for.pop(writing, None)
        under_way = writing in self._under_way and not (writing.written and writing.written.done())
        if writing.written is not None:
            writing.written.cancel()
        return not (under_way or writing.durable)

    async def close(self, *, within: float) -> None:
        """Write what there is, for at most so many seconds; the rest is counted, and callers get an error.

        `run` must be running still.
        """
        if self._lacking is not None:
            self._tell_ledger()
        self._urgent.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()
        left = [*self._under_way, *self._waited_for, *self._noted]
        self._waited_for.clear()
        self._noted.clear()
        self._noted_bytes = 0
        for writing in left:
            if writing.written is None:
                self._lose(writing, "the process ended")
            writing.fail(LedgerError("this process stops"))
        if self._lacking is not None:
            await self._tell(self._lacking)
        if self._unwritten is not None:
            self._unwritten.leave()

    async def run(self) -> None:
        """Commit what there is until cancelled."""
        await self._write_apart([])
        while True:
            if not self._pause:
                await self._wake.wait()
            await asyncio.sleep(max(self._pause, self._began + APART - monotonic()))
            if not self._pause:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._began + NOBODY_WAITS_APART - monotonic()):
                        await self._urgent.wait()
            self._began = monotonic()
            self._under_way = self._take()
            # An empty commit tests whether the ledger can be written again.
            if self._under_way or self._pause:
                hangs = asyncio.get_running_loop().call_later(HANGS, self._commit_hangs)
                await self._write_apart(self._under_way)
                hangs.cancel()
            self._under_way = []
            await self._tell_unwritten()
            if not (self._waited_for or self._noted):
                self._wake.clear()
                self._idle.set()

    def _there_is_work(self) -> None:
        self._wake.set()
        self._idle.clear()

    def _keep(self, writing: Writing) -> None:
        if len(self._noted) >= self._most_noted or self._noted_bytes + writing.size > self._most_bytes:
            self._lose(writing, "there is no room to keep it until the ledger can be written")
            return
        self._noted[writing] = None
        self._noted_bytes += writing.size
        self._there_is_work()

    def _lose(self, writing: Writing, reason: str) -> None:
        for event in writing.events:
            self.lost[type(event).__name__] += 1
            if (lacking := _lacking_without(event)) is not None:
                self._lacking = _both(self._lacking, lacking)
        if writing.then is not None:
            writing.then()
        if times := self._losses.due():
            kinds = ", ".join(f"{kind}: {count}" for kind, count in sorted(self.lost.items()))
            log.error("not written to the ledger", times=times, reason=reason, in_all=kinds)

    def _take(self) -> list[Writing]:
        """Take what goes into one commit: first what callers wait for, but never only that."""
        taken: list[Writing] = []
        events = size = 0
        for queue, most in ((self._waited_for, MOST_WAITED_FOR), (self._noted, MOST_AT_ONCE)):
            while queue and events < most and (not taken or size < MOST_BYTES_AT_ONCE):
                writing, _ = queue.popitem(last=False)
                if queue is self._noted:
                    self._noted_bytes -= writing.size
                taken.append(writing)
                events += len(writing.events)
                size += writing.size
        if not self._waited_for:
            self._urgent.clear()
        return taken

    async def _write_apart(self, batch: list[Writing]) -> None:
        """Write them in one commit; where that fails, in halves, until those that fail are found.

        More failures in a row than that search needs, or a slow one, mean that the database fails.
        """
        pieces, unwritten = [batch], list[Writing]()
        in_a_row, some, error = 0, False, self._fault
        while pieces:
            piece, began = pieces.pop(), monotonic()
            try:
                await self._ledger.write([event for writing in piece for event in writing.events])
            except Exception as raised:  # an outermost loop: one event may cause what no store should raise
                took = monotonic() - began
                error, in_a_row = self._as_ledger_error(raised), in_a_row + 1
                entries = list(filter(_has_entry, piece)) if isinstance(error, LedgerFull) else []
                if took > SLOW or in_a_row > len(batch).bit_length() + 1:
                    unwritten += piece
                    unwritten += (writing for other in pieces for writing in other)
                    break
                if entries:
                    unwritten += entries
                    pieces += [others] if (others := [each for each in piece if each not in entries]) else []
                elif len(piece) > 1:
                    half = len(piece) // 2
                    pieces += [piece[half:], piece[:half]]
                elif piece and in_a_row == 1:
                    pieces.append(piece)
                else:
                    for writing in piece:
                        writing.tries += some
                    unwritten += piece
            else:
                in_a_row, some = 0, True
                for writing in piece:
                    if writing.written is not None and not writing.written.done():
                        writing.written.set_result(None)
                    if writing.then is not None:
                        writing.then()
        self._works(error, works=some)
        self._some_failed = bool(unwritten)
        for writing in unwritten:
            self._failed(writing, error)

    def _works(self, error: LedgerError, *, works: bool) -> None:
        """Note and log whether any of it was written, or why not."""
        self._looked.set()
        if works:
            if self._pause:
                log.info("the ledger is written again", waiting=len(self._noted))
            self._pause = 0.0
            self._failures = Occasional(every=REPORT_INTERVAL)
            if self._lacking is not None and monotonic() >= self._lacking_told + LACKING_APART:
                self._tell_ledger()
            return
        self._fault = error
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        if times := self._failures.due():
            log.warning(
                "the ledger cannot be written",
                reason=str(error),
                times=times,
                waiting=len(self._noted),
                bytes=self._noted_bytes,
            )

    def _tell_ledger(self) -> None:
        """Add a note of what the ledger lacks to the next commit."""
        lacking, self._lacking, self._lacking_told = self._lacking, None, monotonic()
        if lacking is not None:
            self.note(lacking)

    async def _tell_unwritten(self) -> None:
        """Keep the file from when something could not be written until the ledger has all of it."""
        if self._telling is not None:
            await asyncio.wait({self._telling})
            self._telling = None
        lacks = self._some_failed or self._pause or self._lacking is not None
        if self._unwritten is None or not (lacks or self._is_told):
            return
        first = self._lacking or _first_lacking(self._noted)
        if first is not None and not self._is_told:
            await self._tell(Incomplete(first.since))
        elif first is None and self._is_told:
            self._is_told = False
            with suppress(OSError):
                await asyncio.to_thread(self._unwritten.over)

    def _commit_hangs(self) -> None:
        first = _first_lacking(self._under_way)
        if first is not None and not self._is_told:
            telling = self._tell(Incomplete(first.since))
            self._telling = asyncio.create_task(telling, name="noting what is unwritten")

    async def _tell(self, lacking: Incomplete) -> None:
        """Write this to the file."""
        if self._unwritten is None:
            return
        try:
            await asyncio.to_thread(self._unwritten.tell, lacking)
            self._is_told = True
        except OSError as error:
            if times := self._untold.due():
                log.warning("cannot note what the ledger lacks", reason=str(error), times=times)

    def _as_ledger_error(self, error: Exception) -> LedgerError:
        if isinstance(error, LedgerError):
            return error
        if times := self._unexpected.due():
            log.error("a commit to the ledger failed unexpectedly", exc_info=error, times=times)
        return LedgerError(f"{type(error).__name__}: {error}")

    def _failed(self, writing: Writing, error: LedgerError) -> None:
        if writing.written is None:
            if writing.tries < TRIES:
                self._keep(writing)
            else:
                self._lose(writing, str(error))
        elif monotonic() < writing.until and not writing.written.done():
            self._waited_for[writing] = None
            self._urgent.set()
        else:
            writing.fail(error)


def _lacking_without(event: Event) -> Incomplete | None:
    """What the ledger lacks without this event; None for an event that it can do without."""
    match event:
        case Entry():
            return Incomplete(event.received, event.received, 1)
        case Outcome():
            return Incomplete(event.at, event.at)
        case Incomplete():
            return event
        case _:
            return None


def _first_lacking(writings: Iterable[Writing]) -> Incomplete | None:
    events = chain.from_iterable(writing.events for writing in writings)
    return next(filter(None, map(_lacking_without, events)), None)


def _both(one: Incomplete | None, other: Incomplete) -> Incomplete:
    """The time from the first to the last of both, and what both count."""
    if one is None:
        return other
    counts = [each.count for each in (one, other) if each.count is not None]
    return Incomplete(
        None if one.since is None or other.since is None else min(one.since, other.since),
        None if one.until is None or other.until is None else max(one.until, other.until),
        sum(counts) if counts else None,
    )


def _has_entry(writing: Writing) -> bool:
    return any(isinstance(event, Entry) for event in writing.events)


def _size_of(event: Event) -> int:
    """Bytes of memory, about."""
    if isinstance(event, Entry):
        return _OVERHEAD + len(event.body)
    return _OVERHEAD + (_HAND * len(event.hands) if isinstance(event, Heartbeat) else 0)
