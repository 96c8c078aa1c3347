"""What events make of the rows that are there: an outcome changes a row only when it wins (values.merge_key).

The counts (per minute, and the backlog per abonnement) follow from the rows that changed. Pure: a store reads
the rows first, so that no other can change them, and writes what changed in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ledger.durations import bucket_of
from ledger.tables.rows import (
    STATES,
    Counter,
    Row,
    attempt_row,
    count_open,
    key_of_row,
    outcome_row,
    pending_row,
)
from ledger.values import DELIVERED_ALL_THE_SAME, Attempt, Entry, Outcome, State

MINUTE = 60_000  # milliseconds

DeliveryKey = tuple[bytes, int, int]
"""Notificatie, number of the abonnement, replay."""

_TIMED = 7  # the version of a UUID that begins with a moment in milliseconds
_PENDING = STATES[State.PENDING]
_DELIVERED, _REMOVED = STATES[State.DELIVERED], STATES[State.REMOVED]
_RETURNING = STATES[State.RETURNING]
_MATCHED, _STATE, _ASKED_FOR = int(Counter.MATCHED), int(Counter.STATE), int(Counter.ASKED_FOR)


class About(NamedTuple):
    """What an outcome asks of its notificatie, when that is in the ledger."""

    size: int
    catalogue: int


class Changes:
    """The deliveries that a transaction changes, and what is counted for that.

    now: milliseconds, by the database's clock. about: looks a notificatie up. before: the rows that were
    read; None of one that is not there. after: as they are to be. minutes: by minute, what and who. took: by
    minute and bucket (durations.py), how many deliveries took so long. firsts:
    by abonnement, the greatest `since` of what had its first attempt. taken: rows of `attempt`, of what was
    delivered though it is removed.
    """

    def __init__(self, about: Callable[[bytes], About | None], *, now: int) -> None:
        self._about = about
        self._now = now
        self.before: dict[DeliveryKey, Row | None] = {}
        self.after: dict[DeliveryKey, Row] = {}
        self.minutes: dict[tuple[int, int, int], int] = {}
        self.took: dict[tuple[int, int], int] = {}
        self.firsts: dict[int, int] = {}
        self.taken: list[tuple[Any, ...]] = []

    def count(self, at: int, what: int, who: int) -> None:
        """Count one more of this in the minute of this moment."""
        key = (at // MINUTE, what, who)
        self.minutes[key] = self.minutes.get(key, 0) + 1

    def read(self, row: Row) -> None:
        """A row as it is in the ledger."""
        self.before[row[:3]] = self.after[row[:3]] = row

    def known(self, row: Row, *, size: int) -> None:
        """A delivery whose outcome came before its entry; the entry has the size of its body."""
        key = row[:3]
        self.before[key] = row
        self.after[key] = row._replace(size=size)

    def has(self, key: DeliveryKey) -> bool:
        """Whether this delivery is there; of those that were looked up."""
        return key in self.after

    def pending(self, id_: bytes, abonnement: int, entry: Entry) -> None:
        """Add the delivery of an entry to this abonnement."""
        received = entry.received
        row = pending_row(id_, abonnement, received=received, size=len(entry.body), now=self._now)
        key = (id_, abonnement, 0)
        old = self.after.get(key)
        if old is None:
            self.before[key] = None
        if old is None or key_of_row(row) > key_of_row(old):
            self.after[key] = row
        self.count(received, _MATCHED, abonnement)

    def merge(self, key: DeliveryKey, outcome: Outcome) -> None:
        """Apply an outcome when it wins; the row of its key must have been read."""
        old = self.after.get(key)
        if outcome.kanalen_change is not None and not self._is_final(outcome, key, old):
            return
        new = outcome_row(outcome, key[1], old=old, now=self._now)
        if old is None:
            self.before[key] = None
            about = self._about(key[0])
            new = new._replace(size=0 if about is None else about.size)
        elif _is_both(old, new):
            self._tell_both(outcome, old if old.state == _DELIVERED else new)
            if key_of_row(new) <= key_of_row(old):
                return
        elif key_of_row(new) <= key_of_row(old):
            return
        elif old.state == _PENDING and new.attempts > old.attempts == 0 and new.round == old.round:
            # The former `since`: the new one of a retry is when it is due, after this attempt.
            self.firsts[key[1]] = max(self.firsts.get(key[1], 0), old.since)
        self.after[key] = new
        # The keeper gives back by itself, without an event: what is RETURNING by one was asked for, or waits.
        if new.state != _RETURNING:
            self.count(outcome.at, _STATE + new.state, key[1])
        elif not outcome.waits:
            self.count(outcome.at, _ASKED_FOR, key[1])
        if new.state == _DELIVERED and new.status is not None and not new.replay:
            self._count_took(key[0], outcome.at)

    def changed(self) -> Iterator[tuple[Row | None, Row]]:
        """The rows that are to be written: each as it was (None: it is new), and as it is to be."""
        for key, row in self.after.items():
            old = self.before[key]
            if row != old:
                yield old, row

    def backlog(self) -> dict[int, list[int]]:
        """By abonnement, by how much its backlog changes: n, bytes, stuck."""
        backlog: dict[int, list[int]] = {}
        for old, row in self.changed():
            of = backlog.get(row[1])
            if of is None:
                of = backlog[row[1]] = [0, 0, 0]
            if old is not None:
                count_open(old, of, -1)
            count_open(row, of, 1)
        return {abonnement: by for abonnement, by in backlog.items() if any(by)}

    def _count_took(self, id_: bytes, at: int) -> None:
        """Count how long this delivery took, when its id says when it was accepted (ids.received_of)."""
        if id_[6] >> 4 == _TIMED:
            of = (at // MINUTE, bucket_of(at - int.from_bytes(id_[:6])))
            self.took[of] = self.took.get(of, 0) + 1

    def _tell_both(self, outcome: Outcome, delivered: Row) -> None:
        """An operator removed it, and it was delivered: REMOVED wins, and the other is kept as an attempt."""
        ms = None if delivered.us is None else delivered.us / 1000
        taken = Attempt(
            delivered.last_at,
            delivered.attempts,
            DELIVERED_ALL_THE_SAME,
            "the callback took it",
            delivered.status,
            ms,
        )
        self.taken.append(attempt_row(outcome.key, delivered.abonnement, delivered.round, taken))

    def _is_final(self, outcome: Outcome, key: DeliveryKey, old: Row | None) -> bool:
        """Whether NOT_WANTED ends a delivery; if not, its row stays open, in doubt.

        One without a row was never for this abonnement: bindings may be wider than the filters. One that was
        matched with the kanalen of now is wanted, and was dropped by some fault.
        """
        if old is None:
            return False
        about = self._about(key[0])
        if about is None or about.catalogue < (outcome.kanalen_change or 0):
            return True
        in_doubt = old._replace(doubt=1) if old.open and outcome.round >= old.round else old
        if in_doubt != old:
            self.count(outcome.at, Counter.IN_VAIN, key[1])
        self.after[key] = in_doubt
        return False


def _is_both(old: Row, new: Row) -> bool:
    return {old.state, new.state} == {_DELIVERED, _REMOVED}
