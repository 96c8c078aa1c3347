"""The keeper: decides what is lost, commits that as `returning`, and publishes it.

`decide` reads, `give` writes and publishes; a keeper may be frozen between them, or die between commit and
publish. A decision is (row as it was read, whether E1 or E2 made it).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ledger.values import State
from tests.model.rules import LATE, LEASE, LOOK_AGAIN, REPUBLISH
from tests.model.system.broker import Entry, Key, Message
from tests.model.system.judge import Looks, in_hands, is_due, is_lost
from tests.model.system.ledger import Gap
from tests.model.system.merge import SWEPT, Row, row_of
from tests.model.system.world import PULLED, Abonnement, Copy, Violated, World


@dataclass
class Keeper:
    world: World
    name: str
    copy: Copy
    looks: Looks = field(default_factory=Looks)
    decided: list[tuple[Row, bool]] = field(default_factory=list)
    epoch: int | None = None

    def decide(self) -> None:
        """One pass over everything, where this keeper has the lease."""
        world, ledger = self.world, self.world.ledger
        self.decided.clear()
        if not ledger.up or not world.broker.up:
            self.looks.forget()
            return
        self.epoch = ledger.lease(self.name, world.clock, LEASE)
        if self.epoch is None:
            self.looks.forget()
            return
        if not world.rules.entry_not_through_rabbitmq:
            self.read_entries()
        self.follow_changes()
        dropped = self.read_dead_letters()
        chosen: dict[tuple[int, str], tuple[Row, bool]] = {}
        found = [*dropped, *self.of_gaps(), *self.of_unrouted()]
        for row, judged in [*found, *self.of_judging({row.key for row, _ in found})]:
            if row.id not in ledger.entries:
                continue  # lost with the ledger: its body is in RabbitMQ only
            if world.rules.one_give_back_per_row:
                chosen.setdefault(row.key, (row, judged))
            else:
                self.decided.append((row, judged))
        self.decided.extend(chosen.values())

    def give(self, *, dies: bool = False) -> None:
        """Commits `returning` for what was decided, in one transaction, and then publishes it."""
        world, ledger, rules = self.world, self.world.ledger, self.world.rules
        decided, self.decided = self.decided, []
        if not ledger.up or (rules.epoch_checked and ledger.epoch != self.epoch):
            return
        returning = []
        for seen, judged in decided:
            now = ledger.rows[seen.key]
            if now.state not in SWEPT and now.state is not State.NOT_WANTED:
                continue
            row = replace(
                now,
                state=State.RETURNING,
                round=now.round + 1,
                since=world.clock,
                at=world.clock,
                doubt=False,
            )
            row = replace(row, given=now.given + judged)
            self.check_ground(row, judged)
            ledger.write(row)
            returning.append(row)
        if not dies:
            for row in returning:
                self.publish(row)

    def check_ground(self, row: Row, judged: bool) -> None:
        """For the checks: what is not lost is given back only after a fault that may have lost it."""
        truth, key = self.world.truth, row.key
        truth.given[key] += 1
        if judged and row.given > 3:
            raise Violated(f"limit: {key} is given back {row.given} times by E1 and E2")
        if key not in truth.promises:
            return
        here = key[1] in PULLED or self.world.broker.has(key) or truth.delivered[key]
        if here and truth.excuses[key] <= 0:
            raise Violated(f"groundless: {key} is given back, and it is not lost")
        if here:
            truth.excuses[key] -= 1

    def publish(self, row: Row) -> None:
        """Brings one returning delivery to its queue; confirmed, it is pending."""
        world, rules = self.world, self.world.rules
        entry = world.ledger.entries.get(row.id)
        abonnement = world.registry.abonnementen[row.ab]
        if entry is None or abonnement.removed:
            return
        if abonnement.is_pull:
            world.ledger.write(replace(row, state=State.PENDING, since=world.clock, at=world.clock))
            return
        message = Message(row.id, entry.colour, row.since, row.ab, row.round, row.attempts)
        if not rules.give_back_to_one_queue:
            confirmed = world.broker.publish(replace(message, ab=""))
        else:
            queue = world.broker.queues.get(row.ab)
            if rules.give_back_binds and queue is not None and world.broker.up:
                queue.bound = world.broker.exchange
            confirmed = queue is not None and world.broker.put(message)
        copies = sum(copy.key == row.key for copy in world.broker.copies())
        if copies > 1 + world.truth.given[row.key]:
            raise Violated(f"copies: {row.key} stands {copies} times in RabbitMQ")
        if copies:
            world.truth.gap_lost.discard(row.key)
        pending = confirmed and rules.confirmed_give_back_is_pending
        state = State.PENDING if pending else State.RETURNING
        world.ledger.write(replace(row, state=state, since=world.clock, at=world.clock))

    # What is given back

    def of_gaps(self) -> list[tuple[Row, bool]]:
        """What closed gaps cover; each is done with once all that are open now have closed as well."""
        ledger, rules = self.world.ledger, self.world.rules
        if rules.one_give_back_per_row and any(gap.closed is None for gap in ledger.gaps):
            return []
        found = []
        for gap in [gap for gap in ledger.gaps if gap.closed is not None and not gap.done]:
            for entry in list(ledger.entries.values()):
                if rules.gap_finds_rowless and entry.received >= gap.opened - LOOK_AGAIN:
                    self.match_again(entry)
            found += [(row, False) for row in ledger.open_rows() if self.covers(gap, row)]
            gap.done = True
        return found

    def in_gap(self, ab: str) -> bool:
        """Whether a gap is open that will give back the deliveries of `ab`."""
        return any(gap.closed is None and gap.ab in (None, ab) for gap in self.world.ledger.gaps)

    def covers(self, gap: Gap, row: Row) -> bool:
        ledger, rules = self.world.ledger, self.world.rules
        if row.ab in PULLED and rules.pulled_outside_gaps:
            return False
        when = row.at if rules.gap_by_last_change else row.since
        before = gap.closed is not None and when <= gap.closed
        held = self.is_held(row.ab)
        if gap.ab is not None:
            return (
                gap.ab == row.ab
                and (before or not rules.one_give_back_per_row)
                and not (held and not rules.gap_takes_held)
            )
        if held and rules.held_gives_nothing_back:
            ledger.rows[row.key] = replace(ledger.rows[row.key], doubt=True)
            return False
        return before or not rules.one_give_back_per_row

    def of_unrouted(self) -> list[tuple[Row, bool]]:
        """Rows without an outcome of unrouted entries, when RabbitMQ is whole and no confirm can come."""
        ledger, broker, now = self.world.ledger, self.world.broker, self.world.clock
        whole = broker.exchange and all(gap.closed is not None for gap in ledger.gaps)
        found = []
        for entry in ledger.entries.values():
            if entry.unrouted_at is None or not whole:
                continue
            if self.world.rules.unrouted_waits_10s and now < entry.unrouted_at + LATE:
                continue
            if self.world.rules.unrouted_matched_again:
                self.match_again(entry)
            first = [row for row in ledger.rows.values() if row.id == entry.id and row.state is State.PENDING]
            mine = [row for row in first if row.round == row.attempts == 0]
            found += [(row, False) for row in mine]
            if not mine:
                self.clear_unrouted(entry.id)
        return found

    def clear_unrouted(self, id: int) -> None:
        entry = self.world.ledger.entries.get(id)
        if entry is not None:
            self.world.ledger.entries[id] = replace(entry, unrouted_at=None)

    def of_judging(self, chosen: set[Key]) -> list[tuple[Row, bool]]:
        """Returning for too long, lost by E1 or E2, and "not wanted" that is no end; less what is chosen."""
        world, ledger = self.world, self.world.ledger
        self.looks.look(world)
        found = []
        hands = in_hands(world)
        for row in list(ledger.rows.values()):
            if world.registry.abonnementen[row.ab].removed or row.key in chosen:
                continue
            if world.rules.judging_waits_for_gaps and self.in_gap(row.ab):
                continue
            if row.state is State.RETURNING:
                if world.clock >= row.since + REPUBLISH and world.rules.returning_republishes_same_round:
                    self.publish(row)
            elif row.state is State.NOT_WANTED:
                lost = not self.is_final(row) and is_due(world, row)
                found += [(row, True)] if lost else []
            elif row.ab in PULLED and world.rules.pulled_not_judged:
                continue
            elif row.state in SWEPT and is_lost(world, row, self.looks, hands, held=self.is_held(row.ab)):
                found.append((row, True))
        return [pair for pair in found if not self.is_stuck(pair[0])]

    def is_stuck(self, row: Row) -> bool:
        """Whether its give-backs are used up, or its body is gone; then it is shown as `stuck`."""
        if row.id in self.world.ledger.entries and (row.given < 3 or not self.world.rules.give_back_limit):
            return False
        self.world.ledger.write(replace(row, state=State.STUCK, at=self.world.clock))
        return True

    def is_final(self, row: Row) -> bool:
        """Whether "not wanted" ends this delivery: what the abonnement asks for now does not match.

        Without that rule: the abonnement changed since the entry was matched.
        """
        abonnement = self.world.registry.abonnementen[row.ab]
        entry = self.world.ledger.entries.get(row.id)
        if not self.world.rules.not_wanted_needs_change or entry is None:
            return True
        if self.world.rules.not_wanted_is_checked_again:
            return entry.colour not in abonnement.wants
        kanalen_only = self.world.rules.only_kanalen_change_counts
        return entry.catalogue < (abonnement.kanalen_changed if kanalen_only else abonnement.changed)

    def is_held(self, ab: str) -> bool:
        return self.world.registry.abonnementen[ab].held

    # What it follows

    def read_entries(self) -> None:
        """Only without the rule `entry_not_through_rabbitmq`."""
        for entry in self.world.broker.entries:
            self.world.ledger.add(entry, self.world.clock)
        self.world.broker.entries.clear()

    def follow_changes(self) -> None:
        """Adds rows that a stale copy left out, and ends those of what was removed."""
        world, ledger = self.world, self.world.ledger
        for number, name, at in world.registry.changes:
            done = ledger.looked.get(number, 0)
            if done >= (2 if world.rules.catalogue_second_look else 1) or (
                done and world.clock < at + LOOK_AGAIN
            ):
                continue
            ledger.looked[number] = 2 if world.clock >= at + LOOK_AGAIN else 1
            for entry in list(ledger.entries.values()):
                if entry.received >= at - LOOK_AGAIN and entry.catalogue < number:
                    self.add_row(entry, world.registry.abonnementen[name])
        for row in list(ledger.rows.values()):
            known = world.registry.abonnementen.get(row.ab)
            if not world.rules.tombstone_only_removal:
                known = self.copy.abonnementen.get(row.ab)
            if known is None or known.removed:
                ledger.write(replace(row, state=State.REMOVED, at=world.clock))

    def match_again(self, entry: Entry) -> None:
        """Adds rows that are missing for kanalen that stood at acceptance already."""
        for abonnement in self.world.registry.abonnementen.values():
            if abonnement.kanalen_at <= entry.received and not abonnement.removed:
                self.add_row(entry, abonnement)

    def add_row(self, entry: Entry, abonnement: Abonnement) -> None:
        key = (entry.id, abonnement.name)
        if key not in self.world.ledger.rows and entry.colour in abonnement.wants:
            older = entry.received <= self.world.ledger.restored_at
            state = State.UNSURE if older else State.PENDING
            self.world.ledger.write(Row(*key, state, since=entry.received, at=self.world.clock))

    def read_dead_letters(self) -> list[tuple[Row, bool]]:
        """Ends what has the deliverer's verdict; the rest is lost, and counted as what is lost by E2."""
        world, ledger = self.world, self.world.ledger
        lost = {}
        while world.broker.undeliverable:
            message = world.broker.undeliverable.popleft()
            if message.id not in ledger.entries:  # lost with the ledger; the dead letter has the body
                # For whom else it was is unknown, so nothing may match it again.
                known = world.registry.change
                entry = Entry(message.id, message.colour, 0, known, frozenset(), of_message=True)
                ledger.add(entry, world.clock)
            row = row_of(message, world.clock)
            if message.ab in PULLED and world.rules.pulled_copy_proves_no_loss:
                if message.key not in ledger.rows:
                    ledger.write(row)
                continue
            if message.verdict or not world.rules.dead_letter_needs_verdict:
                ledger.write(replace(row, state=State.UNDELIVERABLE))
                continue
            if message.key not in ledger.rows:
                ledger.write(row)
            known = ledger.rows[message.key]
            if known.state in SWEPT and known.round <= message.round:
                lost[message.key] = known
        return [(row, True) for row in lost.values() if not self.is_stuck(row)]

    def crash(self) -> None:
        """The process dies, or is started again."""
        self.decided.clear()
        self.looks.forget()
        self.epoch = None
        self.copy = self.world.registry.copy(self.world.clock)
