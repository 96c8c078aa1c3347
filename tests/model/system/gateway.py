"""A gateway: from a POST to its 201, in single steps that others may come between.

Publish (K) and entry (D) run in parallel, so their steps come in any order. `answer` follows the table of
"Accepting"; what it leaves to be written waits in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.model.rules import LATE
from tests.model.system.broker import Entry, Message
from tests.model.system.ledger import Away
from tests.model.system.merge import Row
from tests.model.system.world import PULLED, Copy, Promise, World

FATES = ("now", "late", "unconfirmed", "never")
"""Of a publish: taken and confirmed; taken within 10 s, no confirm; taken, no confirm; never taken."""


@dataclass
class Accepting:
    """One POST under way. None: not known yet."""

    entry: Entry
    confirmed: bool | None = None
    committed: bool | None = None
    missed: set[str] = field(default_factory=set)


@dataclass
class Gateway:
    world: World
    name: str
    copy: Copy
    under_way: list[Accepting] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    acknowledgements: list[Row] = field(default_factory=list)
    """Only without the rule `acknowledged_before_204`."""

    def post(self, id: int, colour: str) -> None:
        """A notificatie comes in and is matched with this gateway's copy of the registry."""
        world, registry = self.world, self.world.registry
        matched = self.copy.matching(colour)
        self.under_way.append(Accepting(Entry(id, colour, world.clock, self.copy.change, matched)))
        truly = registry.copy(world.clock).matching(colour)
        wanted = {name: registry.abonnementen[name].kanalen_changed for name in truly}
        world.truth.posted[id] = (colour, world.clock, wanted)

    def publish(self, accepting: Accepting, fate: str = "now") -> None:
        """K: the publish to the kanaal's exchange."""
        if accepting.confirmed is not None:
            return
        entry, world = accepting.entry, self.world
        accepting.confirmed = False
        if fate != "never":
            message = Message(entry.id, entry.colour, entry.received)
            accepting.confirmed = world.broker.publish(message, late=fate == "late") and fate == "now"
        if accepting.confirmed:
            wanted = world.truth.posted[entry.id][2].keys() - PULLED
            accepting.missed = {name for name in wanted if self.leads_nowhere(name)}

    def leads_nowhere(self, name: str) -> bool:
        """For the checks: whether a confirmed publish misses this queue, and the open gap will tell."""
        queue = self.world.broker.queues.get(name)
        if queue is None:
            return True
        return not queue.bound and any(
            gap.ab is None and gap.closed is None for gap in self.world.ledger.gaps
        )

    def commit(self, accepting: Accepting) -> None:
        """D: the entry, in the next commit."""
        if accepting.committed is not None:
            return
        try:
            if self.world.rules.entry_not_through_rabbitmq:
                self.world.ledger.add(accepting.entry, self.world.clock)
            else:
                self.world.broker.entries.append(accepting.entry)
            accepting.committed = True
        except Away:
            accepting.committed = False

    def answer(self, accepting: Accepting) -> bool:
        """Ends a POST; what has no result yet has none in time. True: 201, False: 503."""
        self.under_way.remove(accepting)
        entry, rules, truth = accepting.entry, self.world.rules, self.world.truth
        if not accepting.confirmed:
            self.commit(accepting)  # without a confirm the commit is waited for
            if not accepting.committed:
                return False
            self.marks.append(entry.id)
            if rules.unrouted_before_201 and not self.flush():
                self.marks.remove(entry.id)
                return False
        elif not accepting.committed:
            if rules.late_entry_kept:
                self.entries.append(entry)
            if not self.copy_to_rabbitmq(entry):
                return False
        colour, _, wanted = truth.posted[entry.id]
        for name, number in wanted.items():
            truth.promises[entry.id, name] = Promise(colour, number)
            key = (entry.id, name)
            if not accepting.confirmed:
                truth.excused_at.append((self.world.clock + LATE, key))
            if name not in PULLED and (name in accepting.missed or not accepting.confirmed):
                truth.gap_lost.add(key)
        return True

    def copy_to_rabbitmq(self, entry: Entry) -> bool:
        """A copy of a late entry for each that is fetched, as far as this copy of the registry knows."""
        if not self.world.rules.pulled_copied_when_late:
            return True
        copies = [Message(entry.id, entry.colour, entry.received, ab) for ab in entry.matched & PULLED]
        return all(self.world.broker.refuse(copy) for copy in copies)

    def flush(self) -> bool:
        """Writes what waits in memory; False while the ledger is away."""
        try:
            while self.entries:
                entry = self.entries[0]
                if self.world.rules.late_entry_matched_again:
                    entry = self.matched_again(entry)
                self.world.ledger.add(entry, self.world.clock)
                self.entries.pop(0)
            while self.marks:
                self.world.ledger.mark_unrouted(self.marks[0], self.world.clock)
                self.marks.pop(0)
            while self.acknowledgements:
                self.world.ledger.write(self.acknowledgements[0])
                self.acknowledgements.pop(0)
        except Away:
            return False
        return True

    def matched_again(self, entry: Entry) -> Entry:
        """With what this copy knows by now of the kanalen at acceptance; the keeper may have looked."""
        known = self.copy.abonnementen
        again = {
            name for name in self.copy.matching(entry.colour) if known[name].kanalen_at <= entry.received
        }
        return replace(entry, matched=entry.matched | again)

    def crash(self) -> None:
        """The process dies: no answer to what was under way, and memory is gone.

        What is fetched has its copy in RabbitMQ, unless that was wiped, or this gateway did not know the
        abonnement yet.
        """
        for entry in self.entries:
            for key, promise in self.world.truth.promises.items():
                is_copied = key[1] in entry.matched & PULLED and key not in self.world.truth.wiped
                promise.single = promise.single or (key[0] == entry.id and not is_copied)
        for pile in (self.under_way, self.entries, self.marks, self.acknowledgements):
            pile.clear()
        self.copy = self.world.registry.copy(self.world.clock)
