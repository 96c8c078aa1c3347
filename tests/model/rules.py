"""The rules of the ledger as switches, and the periods that they name.

All True is the specification. `Rules().without("e1_margin")` is the specification less one rule; what that
rule prevents is in `schedules.py`, by the same name.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

CONFIRM = 1
"""Seconds that a gateway waits for RabbitMQ's confirm."""
LATE = 10
"""Seconds after which a publish without a confirm has either reached its queues or never will."""
COPY = 30
"""Seconds that a process's copy of the registry may be old."""
BEAT = 5
"""Seconds between two heartbeats of a deliverer, and between two tries to write what waits in memory."""
DEAD = 30
"""Seconds without a heartbeat after which a deliverer counts as dead."""
LEASE = 30
"""Seconds that a keeper holds the lease."""
ACKNOWLEDGE = 2
"""Seconds after which a 2xx is acknowledged, its outcome stored or not."""
E1_AHEAD = 60
E1_AGO = 300
E2_APART = 60
SETTLE = 60
"""Seconds after the ledger was away during which nothing is judged by E1 or E2."""
REPUBLISH = 60
LOOK_AGAIN = 60
BACKOFF = (120, 480, 1920)
"""Seconds before the first, second and third give-back by E1 or E2; after the third the delivery is stuck."""
RETRIES = (60, 600)
"""Pauses between attempts: three attempts in all."""


@dataclass(frozen=True)
class Rules:
    """One switch for each rule; what each means is said where the model asks for it."""

    # Accepting
    entry_not_through_rabbitmq: bool = True
    """The gateway writes the entry into the ledger's database. Off: as a message, read from a queue later."""
    unrouted_before_201: bool = True
    """`unrouted` is committed before the 201. Off: answered first, marked later."""
    unrouted_sticky: bool = True
    """Only the keeper clears `unrouted`. Off: the first outcome of any delivery does."""
    late_entry_kept: bool = True
    """An entry that was not committed in time stays in memory and is written later. Off: forgotten."""
    late_entry_matched_again: bool = True
    """An entry that is written later is matched with the copy of then. Off: with that of acceptance."""

    # Delivering
    ack_waits_for_outcome_2s: bool = True
    """A 2xx is acknowledged when stored or 2 s later. Off: only when stored."""
    row_read_before_retry: bool = True
    """An attempt that is not the first reads the row; delivered, removed or overtaken is dropped."""
    fresh_look_before_drop: bool = True
    """A deliverer looks at the registry before it drops a message. Off: its copy decides."""
    tombstone_only_removal: bool = True
    """Only a tombstone removes. Off: also a copy that does not know the abonnement."""
    not_wanted_is_checked_again: bool = True
    """"Not wanted" ends a delivery when the keeper finds the same. Off: when the abonnement changed."""
    not_wanted_needs_change: bool = True
    """"Not wanted" ends a delivery only when the abonnement changed since acceptance. Off: always."""
    only_kanalen_change_counts: bool = True
    """"Changed" means its kanalen. Off: any change, such as a hold."""

    # Merging
    merge_by_key: bool = True
    """The higher key wins. Off: the last write wins."""

    # Giving back
    gap_before_repair: bool = True
    """A gap is committed before anything is declared again. Off: after."""
    one_give_back_per_row: bool = True
    """A row that changed after a gap closed is not given back for that gap. Off: once for each gap."""
    gap_by_last_change: bool = True
    """What a gap covers is told by when the row last changed. Off: by `since`, which may be in the future."""
    gap_takes_held: bool = True
    """A lost queue gives back held deliveries too. Off: only what is active."""
    held_gives_nothing_back: bool = True
    """A held abonnement whose queue stands gets nothing back. Off: as any other."""
    reconnect_makes_suspects: bool = True
    """A reconnect leaves deliveries to E1 and E2. Off: all that is open is given back."""
    since_by_retry: bool = True
    """`since` of a retry is its `next_at`. Off: it stays that of the first attempt."""
    e1_margin: bool = True
    """E1 asks for 60 s between the two, and 5 minutes since. Off: any later one that ended."""
    e2_two_looks: bool = True
    """E2 asks for two looks 60 s apart. Off: one."""
    e2_needs_hands: bool = True
    """E1 and E2 believe a live deliverer that lists the delivery. Off: heartbeats are not read."""
    e2_hears_after_look: bool = True
    """A look counts once every live deliverer has written a heartbeat after it. Off: at once."""
    judging_waits_for_gaps: bool = True
    """Nothing is judged or published again in an open gap, which gives all back itself. Off: it is."""
    judging_waits_for_outcomes: bool = True
    """After the ledger was away E1 and E2 wait a minute, for outcomes in memory. Off: they do not."""
    give_back_limit: bool = True
    """At most three give-backs by E1 and E2. Off: any number."""
    returning_republishes_same_round: bool = True
    """`returning` for 60 s is published again, in its round. Off: never again."""
    confirmed_give_back_is_pending: bool = True
    """A confirmed give-back becomes `pending`. Off: it stays `returning` until an outcome."""
    give_back_to_one_queue: bool = True
    """A give-back goes through `nrc.return`. Off: through the kanaal's exchange."""
    give_back_binds: bool = True
    """A give-back binds its abonnement's queue again. Off: it takes the bindings as they are."""
    dead_letter_needs_verdict: bool = True
    """A dead letter ends a delivery only with the deliverer's verdict. Off: always."""
    unrouted_waits_10s: bool = True
    """Unrouted rows are given back when no confirm can come any more. Off: at once."""
    unrouted_matched_again: bool = True
    """The keeper matches an unrouted entry again. Off: it takes the rows that the gateway made."""
    gap_finds_rowless: bool = True
    """The keeper matches again what was accepted during a gap. Off: it takes the rows that there are."""
    catalogue_second_look: bool = True
    """A change of kanalen is looked at twice, 60 s apart. Off: once."""
    epoch_checked: bool = True
    """A give-back transaction checks the epoch of the lease. Off: it does not."""
    old_backup_unsure: bool = True
    """What was open in an older ledger becomes `unsure`. Off: it is open."""

    # Fetching: abonnementen without a queue, whose deliveries are rows and nothing else
    pulled_copied_when_late: bool = True
    """Where the commit is late RabbitMQ gets a copy before the 201. Off: only memory has it."""
    pulled_copy_proves_no_loss: bool = True
    """A copy of what the ledger has changes nothing. Off: it is given back, as what RabbitMQ dropped."""
    pulled_outside_gaps: bool = True
    """A gap of RabbitMQ loses nothing of what has no queue. Off: all that is open is given back."""
    pulled_not_judged: bool = True
    """E1 and E2 look at no row without a queue. Off: its queue is as one that is empty."""
    fetch_from_the_oldest: bool = True
    """A fetch looks at all that is open. Off: only at ids beyond the last that this consumer had."""
    fetch_changes_nothing: bool = True
    """What is handed out stays open until it is acknowledged. Off: it is delivered then."""
    unsure_not_handed_out: bool = True
    """What is `unsure` waits for an operator. Off: it is handed out."""
    cursor_names_each: bool = True
    """A cursor acknowledges what came with it. Off: all up to the last of that."""
    cursor_of_the_asker: bool = True
    """A cursor acknowledges for the abonnement that asks only. Off: for the one that it came from."""
    acknowledged_before_204: bool = True
    """An acknowledgement is committed before its 204. Off: answered first, committed later."""

    def without(self, *names: str) -> Rules:
        """These rules less `names`. Raises TypeError for a name that is no rule."""
        return replace(self, **dict.fromkeys(names, False))


SWITCHES = tuple(field.name for field in fields(Rules))
