"""The system of two gateways, two deliverers, two keepers and a router, and every step that it can take.

A step does one thing and then checks the invariants; a step that makes no sense at the moment does
nothing. Time passes only in `advance`, which also does what every process does within a bounded time.
"""

from __future__ import annotations

import copy

from ledger.values import State
from tests.model.checks import check_always, check_final, check_independent, check_prompt
from tests.model.rules import BEAT, COPY, Rules
from tests.model.system.broker import Key, keys
from tests.model.system.consumer import Consumer
from tests.model.system.deliverer import Deliverer, Hand
from tests.model.system.gateway import Gateway
from tests.model.system.keeper import Keeper
from tests.model.system.ledger import Gap, Ledger
from tests.model.system.merge import SWEPT
from tests.model.system.router import Repair
from tests.model.system.world import PULLED, World


class Model:
    """Steps take small numbers for processes, and names for abonnementen.

    "A", "B" and "C" have a callback, "P" and "Q" are fetched; "C" and "Q" are made in the course of it.
    """

    def __init__(self, rules: Rules) -> None:
        self.world = World(rules)
        registry = self.world.registry.copy(self.world.clock)
        self.gateways = [Gateway(self.world, f"gateway {n}", registry) for n in range(2)]
        self.deliverers = [Deliverer(self.world, f"deliverer {n}", registry) for n in range(2)]
        self.keepers = [Keeper(self.world, f"keeper {n}", registry) for n in range(2)]
        self.consumers = [Consumer(self.world, f"consumer {n}", ab) for n, ab in enumerate("PPQ")]
        self.router = Repair(self.world)
        self.ids = 0
        self.written = self.world.clock
        self.saved: Ledger | None = None
        self.idle: dict[str, int] = {}

    def check(self) -> None:
        check_always(self.world, self.in_memory(), self.in_hands())

    def in_hands(self) -> set[Key]:
        return {key for deliverer in self.deliverers for key in deliverer.in_hands()}

    def in_memory(self) -> set[int]:
        return {entry.id for gateway in self.gateways for entry in gateway.entries}

    def with_copy(self) -> list[Gateway | Deliverer | Keeper]:
        return [*self.gateways, *self.deliverers, *self.keepers]

    # Accepting

    def post(self, gateway: int = 0, colour: str = "red") -> None:
        self.ids += 1
        self.gateways[gateway].post(self.ids, colour)

    def publish(self, gateway: int = 0, fate: str = "now") -> None:
        for accepting in self.gateways[gateway].under_way[:1]:
            self.gateways[gateway].publish(accepting, fate)
        self.check()

    def commit(self, gateway: int = 0) -> None:
        for accepting in self.gateways[gateway].under_way[:1]:
            self.gateways[gateway].commit(accepting)
        self.check()

    def answer(self, gateway: int = 0) -> None:
        for accepting in self.gateways[gateway].under_way[:1]:
            self.gateways[gateway].answer(accepting)
        self.check()

    def accept(self, gateway: int = 0, colour: str = "red", fate: str = "now") -> None:
        """All steps of one POST, with nothing in between."""
        self.finish_posts(gateway)
        self.post(gateway, colour)
        self.publish(gateway, fate)
        self.commit(gateway)
        self.answer(gateway)

    def finish_posts(self, gateway: int) -> None:
        while self.gateways[gateway].under_way:
            self.answer(gateway)

    def finish_all_posts(self) -> None:
        for gateway in range(len(self.gateways)):
            self.finish_posts(gateway)

    def crash_gateway(self, gateway: int = 0) -> None:
        self.gateways[gateway].crash()
        self.check()

    # Delivering

    def take(self, deliverer: int = 0, ab: str = "A") -> None:
        self.deliverers[deliverer].take(ab)
        self.check()

    def attempt(self, deliverer: int = 0) -> None:
        for hand in [hand for hand in self.deliverers[deliverer].hands if not is_attempted(hand)][:1]:
            self.deliverers[deliverer].attempt(hand)
        self.check()

    def settle(self, deliverer: int = 0) -> None:
        for hand in [hand for hand in self.deliverers[deliverer].hands if is_attempted(hand)][:1]:
            self.deliverers[deliverer].settle(hand)
        self.check()

    def flush(self, deliverer: int = 0) -> None:
        self.deliverers[deliverer].flush()
        self.check()

    def deliver(self, deliverer: int = 0, ab: str = "A") -> None:
        """Takes, attempts and settles one message, with nothing in between."""
        one = self.deliverers[deliverer]
        if one.take(ab):
            hand = one.hands[-1]
            one.attempt(hand)
            one.settle(hand)
        self.check()

    def probe(self, deliverer: int = 0, ab: str = "A") -> None:
        if self.world.registry.copy(0).held(ab) and len(self.deliverers[deliverer].hands) < 2:
            self.deliverers[deliverer].probe(ab)
            self.excuse_released(ab)
        self.check()

    def crash_deliverer(self, deliverer: int = 0) -> None:
        self.deliverers[deliverer].crash()
        self.check()

    def set_callback(self, ab: str = "A", *, works: bool) -> None:
        self.world.works[ab] = works

    # Fetching

    def ask(self, consumer: int = 0) -> None:
        self.consumers[consumer].ask()
        self.check()

    def get(self, consumer: int = 0) -> None:
        self.consumers[consumer].get()
        self.check()

    def fetch(self, consumer: int = 0) -> None:
        """Asks and gets, with nothing in between."""
        self.ask(consumer)
        self.get(consumer)

    def acknowledge(
        self, consumer: int = 0, *, of: int | None = None, back: int = 0, gateway: int = 0
    ) -> None:
        """With the last cursor of a consumer (`of`, by default its own), or with one before that."""
        cursors = self.consumers[consumer if of is None else of].cursors
        if len(cursors) > back:
            self.consumers[consumer].acknowledge(self.gateways[gateway], cursors[-1 - back])
        self.check()

    def crash_consumer(self, consumer: int = 0) -> None:
        self.consumers[consumer].crash()
        self.check()

    # The registry

    def subscribe(self, ab: str = "C", colours: str = "red") -> None:
        """Makes an abonnement or changes its kanalen; `colours` is a list with commas."""
        known = self.world.registry.abonnementen.get(ab)
        if known is None or not (known.removed or known.is_pull):  # the kanalen of the latter do not change
            self.world.subscribe(ab, frozenset(colours.split(",")))
        self.check()

    def hold(self, ab: str = "A", *, held: bool = True) -> None:
        known = self.world.registry.abonnementen.get(ab)
        if known is not None and not known.removed:
            self.world.registry.set(ab, held=held)
            self.excuse_released(ab)

    def excuse_released(self, ab: str) -> None:
        """For the checks: what is released before an exchange's gap is done with is given back."""
        gaps = [gap for gap in self.world.ledger.gaps if gap.ab is None and not gap.done]
        if not self.world.registry.copy(0).held(ab) and (gaps or not self.world.broker.exchange):
            self.world.excuse(self.world.open_keys(ab))

    def remove(self, ab: str = "C") -> None:
        if ab in self.world.registry.abonnementen:
            self.world.registry.set(ab, removed=True)
            self.world.broker.queues.pop(ab, None)

    def refresh(self, process: str) -> None:
        """One process looks at the registry: "gateway 0", "deliverer 1" and so on."""
        for one in self.with_copy():
            if one.name == process:
                one.copy = self.world.registry.copy(self.world.clock)

    # The keeper and the router

    def decide(self, keeper: int = 0) -> None:
        self.keepers[keeper].decide()
        self.check()

    def give(self, keeper: int = 0, *, dies: bool = False) -> None:
        self.keepers[keeper].give(dies=dies)
        self.check()

    def keep(self, keeper: int = 0) -> None:
        """A whole pass, with nothing in between."""
        self.decide(keeper)
        self.give(keeper)

    def crash_keeper(self, keeper: int = 0) -> None:
        self.keepers[keeper].crash()

    def repair_first(self) -> None:
        self.router.first()
        self.check()

    def repair_second(self) -> None:
        self.router.second()
        self.check()

    def crash_router(self) -> None:
        self.router.crash()

    # Faults of RabbitMQ

    def excuse_kept(self, known: set[Key]) -> None:
        """For the checks: of what lost a copy now these are not lost, and nobody can know."""
        world = self.world
        kept = keys(world.broker.copies()) | self.in_hands() | set(world.truth.delivered)
        world.excuse(known & kept)

    def wipe(self) -> None:
        """RabbitMQ loses all that it has, and is there again at once, empty."""
        world = self.world
        world.truth.gap_lost |= {message.key for message in world.broker.copies()}
        known = world.open_keys()
        copied = {key for key in keys(world.broker.undeliverable) if key[1] in PULLED}
        world.truth.wiped |= copied
        for key in copied - world.ledger.rows.keys():
            if key in world.truth.promises and key[0] not in self.in_memory():
                world.truth.promises[key].single = True  # both homes lost it
        world.broker.wipe()
        self.excuse_kept(known)
        self.drop_connections()

    def delete_queue(self, ab: str = "A") -> None:
        queue = self.world.broker.queues.pop(ab, None)
        if queue is not None:
            messages = [*queue.ready, *(message for _, message in queue.taken)]
            self.world.truth.gap_lost |= {message.key for message in messages}
            self.excuse_kept(self.world.open_keys(ab))
            for deliverer in self.deliverers:
                deliverer.hands = [hand for hand in deliverer.hands if hand.message.ab != ab or hand.settled]
        self.check()

    def delete_exchange(self) -> None:
        if self.world.broker.exchange:
            registry = self.world.registry.copy(0)
            self.world.excuse({key for key in self.world.open_keys() if not registry.held(key[1])})
            self.world.broker.delete_exchange()
        self.check()

    def stop_rabbitmq(self) -> None:
        self.world.broker.up = False
        self.drop_connections()

    def start_rabbitmq(self) -> None:
        self.world.broker.up = True
        if not self.world.rules.reconnect_makes_suspects and self.world.ledger.up:
            names = list(self.world.registry.abonnementen)
            self.world.ledger.gaps += [Gap(name, self.world.clock, self.world.clock) for name in names]
        self.check()

    def drop_connections(self) -> None:
        for deliverer in self.deliverers:
            deliverer.disconnect()
        self.check()

    def purge(self, ab: str = "A") -> None:
        """An operator purges a queue: no gap tells."""
        queue = self.world.broker.queues.get(ab)
        if queue is not None:
            gone = keys(queue.ready)
            self.world.truth.gap_lost -= gone
            queue.ready.clear()
            self.excuse_kept(gone)
        self.check()

    def dead_letter(self, ab: str = "A") -> None:
        """A policy of others dead-letters the head of a queue."""
        queue = self.world.broker.queues.get(ab)
        if queue is not None and queue.ready:
            message = queue.ready.popleft()
            self.world.truth.gap_lost.discard(message.key)
            self.world.broker.undeliverable.append(message)
            self.excuse_kept({message.key})
        self.check()

    def unbind(self, ab: str = "A") -> None:
        """An operator removes a queue's bindings: no gap tells."""
        if ab in self.world.broker.queues:
            self.world.broker.queues[ab].bound = False

    def set_leader(self, ab: str = "A", *, leader: bool) -> None:
        queue = self.world.broker.queues.get(ab)
        if queue is not None and queue.leader != leader:
            if not leader:
                self.world.excuse(self.world.open_keys(ab))
            queue.leader = leader

    # Faults of the ledger

    def stop_ledger(self) -> None:
        self.world.ledger.up = False

    def start_ledger(self) -> None:
        if not self.world.ledger.up:
            self.world.ledger.up, self.world.ledger.back_since = True, self.world.clock

    def backup(self) -> None:
        self.saved = copy.deepcopy(self.world.ledger)

    def restore(self) -> None:
        """The ledger is replaced by its last backup; what was accepted since is in RabbitMQ only."""
        if self.saved is None:
            return
        self.finish_all_posts()
        truth, ledger = self.world.truth, self.world.ledger
        ledger.take_over(copy.deepcopy(self.saved), self.world.clock)
        for key, promise in truth.promises.items():
            promise.single = promise.single or key not in ledger.rows
        truth.shown_delivered.clear()
        truth.acknowledged &= ledger.rows.keys()
        for keeper in self.keepers:
            keeper.crash()
        self.check()

    # Time

    def advance(self, seconds: int) -> None:
        """Time passes. Before it does, POSTs end; after it, all does what it does within that time."""
        self.finish_all_posts()
        world = self.world
        world.clock += seconds
        world.broker.tick(world.clock)
        world.excuse_late()
        for deliverer in self.deliverers:
            deliverer.wait_out()
        if world.clock - self.written >= BEAT:
            self.written = world.clock
            for gateway in self.gateways:
                gateway.flush()
            for deliverer in self.deliverers:
                deliverer.flush()
        for one in self.with_copy():
            if world.clock - one.copy.taken >= COPY:
                one.copy = world.registry.copy(world.clock)
        self.check()

    def run(self, seconds: int, step: int = 5) -> None:
        """Everybody works, for a while."""
        before = [message for queue in self.world.broker.queues.values() for message in queue.ready]
        for passed in range(step, seconds + 1, step):
            self.advance(step)
            self.repair_first()
            self.repair_second()
            for deliverer in range(2):
                for ab in ("A", "B", "C"):
                    self.work(deliverer, ab)
            for consumer in range(len(self.consumers)):
                self.consume(consumer)
            if passed >= 60:
                check_independent(self.world, before)
            for keeper in range(2):
                self.keep(keeper)

    def work(self, deliverer: int, ab: str) -> None:
        """Ends what is in hands and delivers what is ready; held queues are probed and released."""
        one = self.deliverers[deliverer]
        for hand in list(one.hands):
            if not is_attempted(hand):
                one.attempt(hand)
            one.settle(hand)
        if self.world.registry.copy(0).held(ab):
            self.probe(deliverer, ab)
        for _ in range(20):
            if not one.take(ab):
                break
            one.attempt(one.hands[-1])
            one.settle(one.hands[-1])

    def consume(self, consumer: int) -> None:
        """Fetches and acknowledges until nothing is handed out."""
        one = self.consumers[consumer]
        for _ in range(20):
            self.fetch(consumer)
            if not one.cursors:
                break
            self.acknowledge(consumer)
            one.cursors.clear()

    def end_faults(self) -> None:
        self.world.broker.up = True
        self.start_ledger()
        for queue in self.world.broker.queues.values():
            queue.leader = True
        for name, abonnement in self.world.registry.abonnementen.items():
            self.world.works[name] = True
            if abonnement.held:
                self.hold(name, held=False)

    def finish(self) -> None:
        """All faults end, everybody works, and what was promised must come."""
        self.finish_all_posts()
        self.end_faults()
        given = {key: row.given for key, row in self.world.ledger.rows.items()}
        self.run(50)
        check_prompt(self.world, self.in_hands())
        for step, times in ((5, 20), (30, 20), (120, 60)):
            for _ in range(times):
                if self.is_quiet():
                    break
                self.run(step, step)
        check_final(self.world, given)

    def is_quiet(self) -> bool:
        """Nothing is under way, and the keeper has looked at all."""
        world = self.world
        return (
            not any(row.state in (*SWEPT, State.NOT_WANTED) for row in world.ledger.rows.values())
            and not any(True for _ in world.broker.copies())
            and not self.in_memory()
            and not self.in_hands()
            and all(world.ledger.looked.get(number, 0) == 2 for number, _, _ in world.registry.changes)
        )


def is_attempted(hand: Hand) -> bool:
    return hand.outcome is not None or hand.drop
