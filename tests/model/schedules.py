"""For each rule a directed schedule: with the rule it ends well, without it an invariant is violated.

A schedule is a function named after its switch; `finish()` follows it. `VIOLATES` names the invariant, and
which other switches must be off: some rules are needed only where another one fails.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.model.model import Model


def entry_not_through_rabbitmq(m: Model) -> None:
    """RabbitMQ is wiped before anybody read the entry."""
    m.accept()
    m.wipe()


def unrouted_before_201(m: Model) -> None:
    """The gateway dies between the 201 and the mark."""
    m.accept(fate="never")
    m.crash_gateway()


def unrouted_sticky(m: Model) -> None:
    """One of two queues has no leader: no confirm. The other delivers, and that clears the mark."""
    m.set_leader("B", leader=False)
    m.accept()
    m.deliver(0, "A")
    m.flush(0)
    m.advance(60)


def unrouted_waits_10s(m: Model) -> None:
    """The keeper acts while the publish is still on its way."""
    m.accept(fate="late")
    m.keep()


def unrouted_matched_again(m: Model) -> None:
    """A gateway that does not know C yet accepts without RabbitMQ, after the keeper's first look."""
    m.subscribe("C")
    m.keep()
    m.accept(fate="never")


def late_entry_kept(m: Model) -> None:
    """The ledger was away for a moment; later RabbitMQ loses its copy."""
    m.stop_ledger()
    m.accept()
    m.start_ledger()
    m.advance(10)
    m.wipe()


def late_entry_matched_again(m: Model) -> None:
    """A stale gateway's entry is written after the keeper's second look; then RabbitMQ loses its copy."""
    m.stop_ledger()
    m.subscribe("C")
    m.accept()
    m.advance(61)
    m.start_ledger()
    m.keep()
    m.advance(5)
    m.wipe()


def ack_waits_for_outcome_2s(m: Model) -> None:
    """The ledger is away for a minute, and more is delivered than the prefetch."""
    m.stop_ledger()
    for _ in range(6):
        m.accept()
    m.run(60)


def row_read_before_retry(m: Model) -> None:
    """A queue is deleted while a retry of its waits elsewhere; the give-back is delivered before."""
    m.set_callback("A", works=False)
    m.accept()
    m.deliver(0, "A")
    m.flush(0)
    m.set_callback("A", works=True)
    m.delete_queue("A")
    m.run(30)


def fresh_look_before_drop(m: Model) -> None:
    """RabbitMQ is the only home, and the deliverer has not heard yet what the abonnement asks for."""
    m.stop_ledger()
    m.subscribe("B", "red,blue")
    m.accept(0, "blue")
    m.crash_gateway(0)


def not_wanted_is_checked_again(m: Model) -> None:
    """Gateway and deliverer are as stale: the kanalen changed after the catalogue, and before acceptance."""
    m.subscribe("A", "blue")
    m.accept(0, "blue")


def not_wanted_needs_change(m: Model) -> None:
    """Only the deliverer is stale."""
    m.subscribe("A", "red,blue")
    m.refresh("gateway 0")
    m.accept(0, "blue")


def only_kanalen_change_counts(m: Model) -> None:
    """The deliverer is stale, and the abonnement was held for a moment since."""
    m.subscribe("A", "red,blue")
    m.refresh("gateway 0")
    m.accept(0, "blue")
    m.hold("A")
    m.hold("A", held=False)


def tombstone_only_removal(m: Model) -> None:
    """The keeper's copy is older than the abonnement."""
    m.subscribe("C")
    m.accept()
    m.run(5)


def merge_by_key(m: Model) -> None:
    """A failure of round 0 is written after the delivery of round 1."""
    m.set_callback("A", works=False)
    m.accept()
    m.deliver(0, "A")
    m.set_callback("A", works=True)
    m.delete_queue("A")
    m.repair_first()
    m.repair_second()
    m.keep()
    m.deliver(1, "A")
    m.flush(1)
    m.flush(0)


def gap_before_repair(m: Model) -> None:
    """The router dies between the two halves."""
    m.accept()
    m.delete_queue("A")
    m.repair_first()
    m.crash_router()


def one_give_back_per_row(m: Model) -> None:
    """A wipe opens a gap for the exchange and one for each queue."""
    m.accept()
    m.wipe()


def gap_by_last_change(m: Model) -> None:
    """RabbitMQ is wiped while a retry waits: its `since` is in the future."""
    m.set_callback("B", works=False)
    m.accept()
    m.deliver(0, "B")
    m.flush(0)
    m.wipe()


def gap_takes_held(m: Model) -> None:
    """The queue of a held abonnement is deleted."""
    m.accept()
    m.hold("A")
    m.delete_queue("A")
    m.repair_first()
    m.repair_second()
    m.keep()


def gap_finds_rowless(m: Model) -> None:
    """A stale gateway accepts, after the keeper's first look, what C's queue then loses."""
    m.subscribe("C")
    m.keep()
    m.accept()
    m.delete_queue("C")


def held_gives_nothing_back(m: Model) -> None:
    """The exchange is deleted while an abonnement is held."""
    m.accept()
    m.advance(1)
    m.hold("A")
    m.delete_exchange()
    for _ in range(2):
        m.repair_first()
        m.repair_second()
    m.keep()


def reconnect_makes_suspects(m: Model) -> None:
    """The connection is lost, and nothing else."""
    m.accept()
    m.stop_rabbitmq()
    m.advance(1)
    m.start_rabbitmq()
    m.keep()


def since_by_retry(m: Model) -> None:
    """A retry waits for ten minutes, and the queue is empty meanwhile."""
    m.set_callback("A", works=False)
    m.accept()
    m.run(300)


def e1_margin(m: Model) -> None:
    """Two publishes overtake each other on the way into the queue."""
    m.post(0)
    m.commit(0)
    m.world.clock += 1
    m.accept(1)
    m.publish(0)
    m.answer(0)
    m.deliver(0, "A")
    m.flush(0)
    m.advance(130)
    m.keep()


def e2_two_looks(m: Model) -> None:
    """The only look that finds nothing comes while a retry is on its way from its wait queue."""
    m.set_callback("A", works=False)
    m.accept()
    m.deliver(0, "A")
    m.flush(0)
    m.advance(600)
    m.keep()
    m.advance(5)
    m.take(0, "A")
    m.keep()


def e2_needs_hands(m: Model) -> None:
    """A callback takes minutes to answer."""
    m.accept()
    m.take(0, "A")
    look_twice(m)


def e2_hears_after_look(m: Model) -> None:
    """The first look finds the message on its way from a wait queue, the second just taken."""
    m.set_callback("A", works=False)
    m.accept()
    m.deliver(0, "A")
    m.flush(0)
    m.advance(600)
    m.keep()
    m.advance(60)
    m.take(0, "A")
    m.keep()


def judging_waits_for_gaps(m: Model) -> None:
    """A wipe between two looks: the queue stands again, and the gap of the exchange is still open."""
    m.accept()
    m.purge("A")
    m.advance(130)
    m.keep()
    m.wipe()
    m.advance(60)
    m.repair_first()
    m.repair_second()
    m.keep()
    m.advance(5)
    m.keep()


def judging_waits_for_outcomes(m: Model) -> None:
    """The ledger was away, and one deliverer writes its outcomes sooner than the other."""
    m.accept()
    m.advance(70)
    m.accept()
    m.stop_ledger()
    m.set_callback("A", works=False)
    m.deliver(0, "A")
    m.set_callback("A", works=True)
    m.deliver(1, "A")
    m.advance(400)
    m.start_ledger()
    m.flush(1)
    m.keep()


def give_back_limit(m: Model) -> None:
    """Somebody purges the queue again and again."""
    m.accept()
    for _ in range(4):
        m.purge("A")
        m.advance(2000)
        look_twice(m)


def returning_republishes_same_round(m: Model) -> None:
    """The keeper dies between the commit of a give-back and its publish."""
    m.accept()
    m.wipe()
    for _ in range(2):
        m.repair_first()
        m.repair_second()
    m.decide()
    m.give(dies=True)


def confirmed_give_back_is_pending(m: Model) -> None:
    """A held queue was lost and given back: its deliveries stand there and wait."""
    m.accept()
    m.hold("A")
    m.delete_queue("A")
    m.repair_first()
    m.repair_second()
    for _ in range(3):
        m.keep()
        m.advance(61)


def give_back_to_one_queue(m: Model) -> None:
    """An abonnement is made long after a notificatie that is given back."""
    m.accept()
    m.advance(600)
    m.subscribe("C")
    m.delete_queue("A")


def give_back_binds(m: Model) -> None:
    """An operator removes bindings."""
    m.unbind("A")
    m.accept()


def dead_letter_needs_verdict(m: Model) -> None:
    """A policy of others dead-letters."""
    m.accept()
    m.dead_letter("A")


def catalogue_second_look(m: Model) -> None:
    """A stale gateway accepts after the keeper's first look, and the queue is purged."""
    m.subscribe("C")
    m.keep()
    m.accept()
    m.advance(61)
    m.purge("C")


def epoch_checked(m: Model) -> None:
    """A keeper is frozen between decision and transaction; another gives the same back meanwhile."""
    m.accept()
    m.purge("A")
    m.advance(130)
    m.keep(0)
    m.advance(61)
    m.keep(0)
    m.advance(5)
    m.decide(0)
    m.advance(31)
    look_twice(m, keeper=1)
    m.give(0)


def old_backup_unsure(m: Model) -> None:
    """Yesterday's ledger comes back, in which what was delivered since is open."""
    m.accept()
    m.backup()
    m.run(30)
    m.restore()


def pulled_copied_when_late(m: Model) -> None:
    """The gateway dies with an entry that the ledger did not take in time."""
    m.stop_ledger()
    m.accept()
    m.crash_gateway()


def pulled_copy_proves_no_loss(m: Model) -> None:
    """The ledger was late for a moment only: it has the row before the keeper meets its copy."""
    m.stop_ledger()
    m.accept()
    m.start_ledger()
    m.gateways[0].flush()
    m.keep()


def pulled_outside_gaps(m: Model) -> None:
    """The exchange of its kanaal is deleted while it waits to be fetched."""
    m.accept()
    m.delete_exchange()
    for _ in range(2):
        m.repair_first()
        m.repair_second()
    m.keep()


def pulled_not_judged(m: Model) -> None:
    """Nobody fetches for some minutes."""
    m.accept()
    look_twice(m)


def fetch_from_the_oldest(m: Model) -> None:
    """The earlier of two is committed after the later was fetched."""
    m.post(0)
    m.accept(1)
    m.fetch()
    m.acknowledge()
    m.commit(0)
    m.answer(0)
    m.consumers[1].last = m.consumers[0].last  # where one was is noted for all of its consumers


def fetch_changes_nothing(m: Model) -> None:
    """A consumer dies while the answer is on its way."""
    m.accept()
    m.ask()
    m.crash_consumer()


def unsure_not_handed_out(m: Model) -> None:
    """An older copy of the ledger comes back, in which what was acknowledged since is open."""
    m.accept()
    m.backup()
    m.fetch()
    m.acknowledge()
    m.restore()
    m.fetch()


def cursor_names_each(m: Model) -> None:
    """The earlier of two is committed between the fetch of the later and its acknowledgement."""
    m.post(0)
    m.accept(1)
    m.fetch()
    m.commit(0)
    m.acknowledge()


def cursor_of_the_asker(m: Model) -> None:
    """A consumer names what another abonnement was not handed out yet."""
    m.subscribe("Q")
    m.refresh("gateway 0")
    m.accept()
    m.consumers[0].acknowledge(m.gateways[0], ((1, "Q"),))


def acknowledged_before_204(m: Model) -> None:
    """The gateway dies between the 204 and the commit."""
    m.accept()
    m.fetch()
    m.acknowledge()
    m.crash_gateway()
    m.fetch(1)


def look_twice(m: Model, keeper: int = 0) -> None:
    """What E2 needs, and a heartbeat after it."""
    for seconds in (130, 61, 5):
        m.advance(seconds)
        m.keep(keeper)


VIOLATES: dict[Callable[[Model], None], tuple[str, ...]] = {
    entry_not_through_rabbitmq: ("visible",),
    unrouted_before_201: ("prompt",),
    unrouted_sticky: ("prompt",),
    unrouted_waits_10s: ("groundless",),
    unrouted_matched_again: ("prompt",),
    late_entry_kept: ("visible",),
    late_entry_matched_again: ("visible",),
    ack_waits_for_outcome_2s: ("independent",),
    row_read_before_retry: ("again",),
    fresh_look_before_drop: ("final",),
    not_wanted_is_checked_again: ("final", "fresh_look_before_drop"),
    not_wanted_needs_change: ("final", "fresh_look_before_drop"),
    only_kanalen_change_counts: ("final", "fresh_look_before_drop", "not_wanted_is_checked_again"),
    tombstone_only_removal: ("verdict",),
    merge_by_key: ("merge",),
    gap_before_repair: ("prompt",),
    one_give_back_per_row: ("groundless",),
    gap_by_last_change: ("prompt",),
    gap_takes_held: ("prompt",),
    gap_finds_rowless: ("prompt",),
    held_gives_nothing_back: ("groundless",),
    reconnect_makes_suspects: ("groundless",),
    since_by_retry: ("groundless",),
    e1_margin: ("groundless",),
    e2_two_looks: ("groundless",),
    e2_needs_hands: ("groundless",),
    e2_hears_after_look: ("groundless",),
    judging_waits_for_gaps: ("groundless",),
    judging_waits_for_outcomes: ("groundless",),
    give_back_limit: ("limit",),
    returning_republishes_same_round: ("final",),
    confirmed_give_back_is_pending: ("copies",),
    give_back_to_one_queue: ("stranger",),
    give_back_binds: ("final",),
    dead_letter_needs_verdict: ("verdict",),
    catalogue_second_look: ("visible",),
    epoch_checked: ("groundless",),
    old_backup_unsure: ("shown",),
    pulled_copied_when_late: ("visible",),
    pulled_copy_proves_no_loss: ("groundless",),
    pulled_outside_gaps: ("groundless",),
    pulled_not_judged: ("groundless",),
    fetch_from_the_oldest: ("final",),
    fetch_changes_nothing: ("final",),
    unsure_not_handed_out: ("shown",),
    cursor_names_each: ("skipped",),
    cursor_of_the_asker: ("skipped",),
    acknowledged_before_204: ("shown",),
}
