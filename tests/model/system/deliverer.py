"""A deliverer: takes a message, attempts it, settles it; its outcomes wait in memory until they are stored.

A hand is a message that was taken and not acknowledged yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ledger.values import State
from tests.model.rules import ACKNOWLEDGE, RETRIES
from tests.model.system.broker import Key, Message
from tests.model.system.ledger import Away
from tests.model.system.merge import Row, row_of
from tests.model.system.world import Copy, Violated, World

PREFETCH = 2
OVER = frozenset({State.DELIVERED, State.REMOVED})


@dataclass
class Hand:
    """`outcome`: the row to be written, `drop`: acknowledge without one. `settled`: only the ack is left."""

    message: Message
    outcome: Row | None = None
    drop: bool = False
    settled: bool = False


@dataclass
class Deliverer:
    world: World
    name: str
    copy: Copy
    hands: list[Hand] = field(default_factory=list)
    memory: list[tuple[Row, int]] = field(default_factory=list)
    """Outcomes to be written, each with the `since` of the message that was attempted."""

    def take(self, ab: str) -> bool:
        """Takes the head of a queue that is consumed: active, as far as this copy knows."""
        if len(self.hands) >= PREFETCH or self.copy.held(ab):
            return False
        message = self.world.broker.take(self.name, ab)
        if message is not None:
            self.hands.append(Hand(message))
            self.world.truth.gap_lost.discard(message.key)
        return message is not None

    def attempt(self, hand: Hand) -> None:
        """Checks one message and POSTs it to its callback."""
        message, world, rules = hand.message, self.world, self.world.rules
        row = row_of(message, world.clock)
        known = self.copy.abonnementen.get(message.ab)
        drop = known is None or known.removed or message.colour not in known.wants
        if known is None or (drop and rules.fresh_look_before_drop):
            known = world.registry.abonnementen[message.ab]
        if known.removed:
            hand.outcome = replace(row, state=State.REMOVED)
        elif message.colour not in known.wants:
            hand.outcome = replace(row, state=State.NOT_WANTED)
        elif self.is_over(message):
            hand.drop = True
        elif self.post(message):
            hand.outcome = replace(row, state=State.DELIVERED, attempts=message.attempts + 1)
        else:
            hand.outcome = self.failed(row)

    def is_over(self, message: Message) -> bool:
        """Whether the row of an attempt that is not the first says that there is nothing left to do."""
        first = not (message.attempts or message.round or message.redelivered)
        ledger = self.world.ledger
        if first or not ledger.up or not self.world.rules.row_read_before_retry:
            return False
        row = ledger.rows.get(message.key)
        return row is not None and (row.state in OVER or row.round > message.round)

    def post(self, message: Message) -> bool:
        """The POST; True is a 2xx."""
        world, (id, ab) = self.world, message.key
        posted = world.truth.posted[id]
        if world.registry.abonnementen[ab].made > posted[1] + 60:
            raise Violated(f"stranger: {message.key} is sent to an abonnement that was made after it")
        row = world.ledger.rows.get(message.key)
        first = not (message.attempts or message.round)
        over = row is not None and (row.state in OVER or row.round > message.round)
        if over and world.ledger.up and not first:
            raise Violated(f"again: {message.key} is sent, and its row says that it is over")
        if world.works[ab]:
            world.truth.delivered[message.key] += 1
        return world.works[ab]

    def failed(self, row: Row) -> Row:
        """The outcome of a failed attempt: one more, or none left."""
        if row.attempts >= len(RETRIES):
            return replace(row, attempts=row.attempts + 1, state=State.UNDELIVERABLE)
        next_at = self.world.clock + RETRIES[row.attempts]
        since = next_at if self.world.rules.since_by_retry else row.since
        return replace(row, attempts=row.attempts + 1, state=State.RETRYING, since=since)

    def settle(self, hand: Hand) -> None:
        """Brings one message to where it belongs. A 2xx is acknowledged when it is stored, or later."""
        message, row, broker = hand.message, hand.outcome, self.world.broker
        if hand.settled:
            return
        if row is not None:
            following = replace(message, attempts=row.attempts, since=row.since, redelivered=False)
            if row.state is State.RETRYING:
                pause = RETRIES[row.attempts - 1]
                if not broker.wait(following, row.at + pause):
                    return
            elif row.state is State.UNDELIVERABLE and not broker.refuse(replace(following, verdict=True)):
                return
            self.memory.append((row, message.since))
        hand.settled = True
        if row is None or row.state is not State.DELIVERED:
            self.acknowledge(hand)

    def acknowledge(self, hand: Hand) -> None:
        self.world.broker.ack(self.name, hand.message)
        self.hands.remove(hand)

    def wait_out(self) -> None:
        """Acknowledges each 2xx whose outcome waits for 2 s already."""
        for hand in [hand for hand in self.hands if hand.settled and hand.outcome is not None]:
            late = hand.outcome is not None and hand.outcome.at + ACKNOWLEDGE <= self.world.clock
            if late and self.world.rules.ack_waits_for_outcome_2s:
                self.acknowledge(hand)

    def flush(self) -> bool:
        """Writes outcomes and a heartbeat, and acknowledges what is stored; False: the ledger is away."""
        ledger = self.world.ledger
        try:
            while self.memory:
                row, since = self.memory[0]
                ledger.outcome(row, first=since if row.attempts == 1 else None)
                self.memory.pop(0)
            ledger.check()
        except Away:
            return False
        ledger.beats[self.name] = (self.world.clock, frozenset(self.in_hands()))
        for hand in [hand for hand in self.hands if hand.settled]:
            self.acknowledge(hand)
        return True

    def in_hands(self) -> set[Key]:
        return {hand.message.key for hand in self.hands} | {row.key for row, _ in self.memory}

    def probe(self, ab: str) -> None:
        """Tries the head of a held queue; back to the head when that fails, and no attempt."""
        message = self.world.broker.take(self.name, ab)
        if message is None:
            return
        hand = Hand(message)
        self.hands.append(hand)
        if self.world.works[ab]:
            self.world.registry.set(ab, held=False)
            self.attempt(hand)
            self.settle(hand)
        else:
            self.hands.remove(hand)
            self.world.broker.ack(self.name, message)
            self.world.broker.queues[ab].ready.appendleft(message)

    def disconnect(self) -> None:
        """The connection is lost: what it held goes back; a result that is known is kept."""
        for hand in self.hands:
            if hand.outcome is not None and hand.outcome.state is State.DELIVERED and not hand.settled:
                self.memory.append((hand.outcome, hand.message.since))
            self.world.truth.repeats[hand.message.key] += 1
        self.hands.clear()
        self.world.broker.requeue(self.name)

    def crash(self) -> None:
        """The process dies: what it held goes back, outcomes in memory are gone."""
        keys = self.in_hands()
        self.world.truth.repeats.update(keys)
        self.world.excuse(keys)
        self.hands.clear()
        self.memory.clear()
        self.world.broker.requeue(self.name)
        self.copy = self.world.registry.copy(self.world.clock)
