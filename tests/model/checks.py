"""The invariants. Each raises `Violated` with its name.

visible      what was answered 201 is in the ledger, in memory or in RabbitMQ, unless both homes lost it
merge        what the ledger showed as delivered it never shows otherwise
verdict      undeliverable, stuck and removed are shown for their own reason only
prompt       what was lost with a queue or exchange, or never published, is given back within a minute
independent  what is ready is attempted within a minute, with and without a ledger
final        in the end all is delivered, or visibly undeliverable, stuck or unsure
duplicates   no more deliveries than give-backs and faults account for

Where it happens (system/keeper.py, system/deliverer.py, system/consumer.py) the model raises also:

groundless   what is not lost is given back, without a fault after which that cannot be known
limit        E1 and E2 give back one delivery more than three times
skipped      what no consumer has had is acknowledged
shown        what was acknowledged is handed out again
copies       RabbitMQ has more copies of a delivery than it was given back
stranger     an abonnement gets what was accepted before it was made
again        a retry or a give-back is sent though its row says that it is over
"""

from __future__ import annotations

from ledger.values import State
from tests.model.rules import RETRIES
from tests.model.system.broker import Key, Message, keys
from tests.model.system.merge import SWEPT
from tests.model.system.world import Promise, Violated, World


def current(world: World) -> list[tuple[Key, Promise]]:
    """Promises that still bind: the abonnement is not removed, and its kanalen are those of acceptance."""
    found = []
    for key, promise in world.truth.promises.items():
        abonnement = world.registry.abonnementen[key[1]]
        if not abonnement.removed and abonnement.kanalen_changed == promise.kanalen_changed:
            found.append((key, promise))
    return found


def check_always(world: World, in_memory: set[int], in_hands: set[Key]) -> None:
    """After every step. `in_memory`: entries that a gateway has to write; `in_hands`: of all deliverers."""
    truth, ledger = world.truth, world.ledger
    in_rabbitmq = keys(world.broker.copies()) | keys(world.broker.undeliverable) | in_hands
    in_rabbitmq |= {(entry.id, ab) for entry in world.broker.entries for ab in entry.matched}
    for key, promise in current(world):
        row = ledger.rows.get(key)
        if row is not None:
            check_verdict(world, key)
            if key in truth.shown_delivered and row.state is not State.DELIVERED:
                raise Violated(f"merge: {key} was delivered and is shown as {row.state.name}")
            if row.state is State.DELIVERED:
                truth.shown_delivered.add(key)
            if truth.delivered[key] > 1 + truth.given[key] + truth.repeats[key]:
                raise Violated(f"duplicates: {key} was delivered {truth.delivered[key]} times")
            continue
        seen = truth.delivered[key] or key in in_rabbitmq or key[0] in in_memory
        if not (seen or promise.single or will_be_found(world, key)):
            raise Violated(f"visible: {key} is nowhere")


def will_be_found(world: World, key: Key) -> bool:
    """Whether the keeper's looks at a change of kanalen will still add the row of `key`."""
    entry = world.ledger.entries.get(key[0])
    if entry is None:
        return False
    looks = 2 if world.rules.catalogue_second_look else 1
    return any(
        name == key[1] and entry.catalogue < number and world.ledger.looked.get(number, 0) < looks
        for number, name, _ in world.registry.changes
    )


def check_verdict(world: World, key: Key) -> None:
    """A row that shows an end shows it for its own reason."""
    row = world.ledger.rows[key]
    if row.state is State.UNDELIVERABLE and row.attempts <= len(RETRIES):
        raise Violated(f"verdict: {key} is undeliverable after {row.attempts} attempts")
    if row.state is State.STUCK and row.given < 3 and row.id in world.ledger.entries:
        raise Violated(f"verdict: {key} is stuck after {row.given} give-backs")
    if row.state is State.REMOVED:
        raise Violated(f"verdict: {key} is removed, and its abonnement is not")


def check_prompt(world: World, in_hands: set[Key]) -> None:
    """Some 50 s after the last fault."""
    in_rabbitmq = keys(world.broker.copies()) | in_hands
    for key, promise in current(world):
        row = world.ledger.rows.get(key)
        lost = key in world.truth.gap_lost and key not in in_rabbitmq and not world.truth.delivered[key]
        if row is None:
            waits = not promise.single
        else:
            waits = row.state in (State.PENDING, State.RETRYING) and not row.doubt
        if lost and waits:
            raise Violated(f"prompt: {key} was lost with its queue or never published, and is not given back")


def check_independent(world: World, before: list[Message]) -> None:
    """After a minute in which deliverers worked, whatever the ledger did. `before`: what was ready then."""
    for name, queue in world.broker.queues.items():
        active = world.broker.up and queue.leader and not world.registry.abonnementen[name].held
        for message in before:
            if active and message in queue.ready:
                raise Violated(f"independent: {message.key} waits for something else")


def check_final(world: World, given: dict[Key, int]) -> None:
    """When all faults are long over. `given`: how often each was given back when they ended."""
    for key, promise in current(world):
        row = world.ledger.rows.get(key)
        if world.truth.delivered[key]:
            if row is not None and row.state in SWEPT:
                raise Violated(f"final: {key} was delivered and is shown as {row.state.name}")
        elif row is None:
            if not promise.single:
                raise Violated(f"final: {key} is gone")
        elif row.state is State.STUCK and row.id in world.ledger.entries and given.get(key, 0) < 3:
            raise Violated(f"final: {key} became stuck when all faults were over")
        elif row.state in SWEPT or row.state in (State.NOT_WANTED, State.DELIVERED):
            raise Violated(f"final: {key} was not delivered and is shown as {row.state.name}")
