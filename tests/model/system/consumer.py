"""A consumer of an abonnement without a queue: fetches a page, acknowledges it by its cursor, or dies.

The ledger's row is all that there is of such a delivery. A page is on its way between the ledger and the
consumer: it may be lost there, and others may acknowledge meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ledger.values import FINAL, State
from tests.model.system.broker import Key
from tests.model.system.gateway import Gateway
from tests.model.system.ledger import Away
from tests.model.system.merge import Row
from tests.model.system.world import Violated, World

LIMIT = 2
READY = frozenset({State.PENDING, State.RETURNING})

Cursor = tuple[Key, ...]


@dataclass
class Consumer:
    """`cursors`: of the pages that it had, the newest last. `last`: the greatest id in these."""

    world: World
    name: str
    ab: str
    on_its_way: Cursor = ()
    cursors: list[Cursor] = field(default_factory=list)
    last: int = 0

    @property
    def is_known(self) -> bool:
        """Whether its abonnement is there."""
        known = self.world.registry.abonnementen.get(self.ab)
        return known is not None and not known.removed

    def ask(self) -> None:
        """A gateway looks at the ledger, and answers with the oldest that are ready."""
        world, rules, ledger = self.world, self.world.rules, self.world.ledger
        if not (ledger.up and self.is_known):
            return
        ready = READY if rules.unsure_not_handed_out else READY | {State.UNSURE}
        first = 0 if rules.fetch_from_the_oldest else self.last + 1
        rows = [row for row in ledger.rows.values() if row.ab == self.ab and row.state in ready]
        page = sorted((row for row in rows if row.id >= first and row.id in ledger.entries), key=_id)[:LIMIT]
        for row in page:
            if row.key in world.truth.acknowledged:
                raise Violated(f"shown: {row.key} is handed out, and it was acknowledged")
            if not rules.fetch_changes_nothing:
                ledger.write(replace(row, state=State.DELIVERED, at=world.clock))
        self.on_its_way = tuple(row.key for row in page)

    def get(self) -> None:
        """The answer arrives."""
        if self.on_its_way:
            self.world.truth.handed_out |= set(self.on_its_way)
            self.cursors.append(self.on_its_way)
            self.last = max(self.last, *(id for id, _ in self.on_its_way))
        self.on_its_way = ()

    def acknowledge(self, gateway: Gateway, cursor: Cursor) -> None:
        """With any cursor: its own, or that of somebody else."""
        world, truth = self.world, self.world.truth
        if not self.is_known:
            return
        truth.claimed |= {(id, self.ab) for id, ab in cursor if ab != self.ab}
        try:
            rows = self.named(cursor)
            if world.rules.acknowledged_before_204:
                for row in rows:
                    world.ledger.write(row)
            else:
                gateway.acknowledgements += rows
        except Away:
            return
        for row in rows:
            if row.key not in truth.handed_out | truth.claimed:
                raise Violated(f"skipped: {row.key} is acknowledged, and no consumer has had it")
            truth.acknowledged.add(row.key)
            truth.delivered[row.key] = 1

    def named(self, cursor: Cursor) -> list[Row]:
        """The outcomes by which what it names is delivered. Raises Away."""
        world, ledger, rules = self.world, self.world.ledger, self.world.rules
        ledger.check()
        keys = [(id, self.ab) if rules.cursor_of_the_asker else (id, ab) for id, ab in cursor]
        if not rules.cursor_names_each:
            last = max(id for id, _ in cursor)
            keys = [row.key for row in ledger.rows.values() if row.ab == self.ab and row.id <= last]
        rows = [ledger.rows[key] for key in keys if key in ledger.rows]
        return [replace(row, state=State.DELIVERED, at=world.clock) for row in rows if row.state not in FINAL]

    def crash(self) -> None:
        """The process dies; where it was is noted somewhere."""
        self.on_its_way = ()
        self.cursors.clear()


def _id(row: Row) -> int:
    return row.id
