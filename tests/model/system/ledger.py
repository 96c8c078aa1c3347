"""The ledger's database: entries, rows, gaps, heartbeats and the lease. Every method is one transaction.

A transaction raises `Away` while the database does not answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ledger.values import State
from tests.model.rules import Rules
from tests.model.system.broker import Entry, Key
from tests.model.system.merge import SWEPT, Row, merge


class Away(Exception):
    """The ledger's database does not answer."""


@dataclass
class Gap:
    """A period in which messages may have been lost. `ab` is None for the exchange."""

    ab: str | None
    opened: int
    closed: int | None = None
    done: bool = False


@dataclass
class Ledger:
    """The tables. `firsts`: of each first attempt that ended, (since, end), per abonnement."""

    rules: Rules
    up: bool = True
    back_since: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)
    rows: dict[Key, Row] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    beats: dict[str, tuple[int, frozenset[Key]]] = field(default_factory=dict)
    firsts: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    looked: dict[int, int] = field(default_factory=dict)
    """How often the keeper looked at each change of kanalen."""
    epoch: int = 0
    restored_at: int = -1
    holder: str = ""
    until: int = 0

    def check(self) -> None:
        """Begins a transaction."""
        if not self.up:
            raise Away

    def add(self, entry: Entry, now: int) -> None:
        """A gateway's entry with a pending row for each abonnement that it matched."""
        self.check()
        known = self.entries.get(entry.id)
        if known is None:
            self.entries[entry.id] = entry
        elif known.of_message:  # the gateway's own completes it
            self.entries[entry.id] = replace(entry, unrouted_at=known.unrouted_at)
        for ab in entry.matched:
            self.write(Row(entry.id, ab, since=entry.received, at=now))

    def mark_unrouted(self, id: int, now: int) -> None:
        self.check()
        if id in self.entries:
            self.entries[id] = replace(self.entries[id], unrouted_at=now)

    def write(self, row: Row) -> bool:
        """Merges one row; True when that changed it."""
        self.check()
        old = self.rows.get(row.key)
        new = merge(old, row, by_key=self.rules.merge_by_key)
        self.rows[row.key] = new
        return new is not old

    def outcome(self, row: Row, *, first: int | None) -> None:
        """A deliverer's outcome. `first`: `since` of the message, when this was its first attempt."""
        self.write(row)
        if first is not None:
            self.firsts.setdefault(row.ab, []).append((first, row.at))
        entry = self.entries.get(row.id)
        if not self.rules.unrouted_sticky and entry is not None:
            self.entries[row.id] = replace(entry, unrouted_at=None)

    def lease(self, name: str, now: int, length: int) -> int | None:
        """Takes or renews the lease: its epoch, or None when another keeper has it."""
        self.check()
        if self.holder != name:
            if now < self.until:
                return None
            self.holder, self.epoch = name, self.epoch + 1
        self.until = now + length
        return self.epoch

    def open_rows(self) -> list[Row]:
        self.check()
        return [row for row in self.rows.values() if row.state in SWEPT]

    def take_over(self, backup: Ledger, now: int) -> None:
        """A backup takes its place. Open rows become `unsure`: the registry's note says that it is older."""
        for name in ("entries", "rows", "gaps", "beats", "firsts", "looked"):
            setattr(self, name, getattr(backup, name))
        self.up, self.back_since = True, now
        self.epoch += 1
        self.holder, self.until = "", 0
        if self.rules.old_backup_unsure:
            self.restored_at = now
            for key, row in self.rows.items():
                if row.state in SWEPT:
                    self.rows[key] = replace(row, state=State.UNSURE)
            self.gaps.clear()
            for id, entry in self.entries.items():
                self.entries[id] = replace(entry, unrouted_at=None)
