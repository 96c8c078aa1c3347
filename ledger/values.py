"""What is written to the ledger and read from it. Pure: no I/O.

Times are milliseconds since 1970, by the clock of the process that wrote them. Where it says "by the
database's clock" the store sets them, since they are compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

EVERYTHING = UUID(int=0)
"""Stands in `Heartbeat.hands` for every notificatie of an abonnement."""

ORIGINAL = 0
"""`replay` of a delivery that was not replayed; replays count from 1."""

UNKNOWN = UUID(int=0)
"""Stands for the abonnement of a dead letter that does not say which it was for."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms_of(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down, so that a moment and its text in a log give the same."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def moment_of(ms: int | None) -> str | None:
    """Such milliseconds in UTC, for a log line."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


class State(StrEnum):
    """What became of a delivery. Open ones still have to be delivered."""

    RETURNING = "returning"
    """Lost by RabbitMQ; the keeper publishes it again, and writes PENDING when that is confirmed."""
    PENDING = "pending"
    """In the queue of its abonnement, or on its way there."""
    RETRYING = "retrying"
    """An attempt failed; it waits for its next."""
    UNSURE = "unsure"
    """Open in a ledger that was restored from an older copy: it may have been delivered since."""
    STUCK = "stuck"
    """Given back as often as is allowed; an operator has to look."""
    UNDELIVERABLE = "undeliverable"
    """No attempt is left, it was held for too long, or its abonnement was removed."""
    NOT_WANTED = "not_wanted"
    """The kanalen of its abonnement changed after it was accepted, and don't match it any more; or a newer
    one stands for it, which a note of kind CONSOLIDATED says."""
    DELIVERED = "delivered"
    """The callback answered 2xx."""
    REMOVED = "removed"
    """An operator decided that it is not to be delivered."""


OPEN = frozenset({State.PENDING, State.RETURNING, State.RETRYING, State.UNSURE, State.STUCK})
"""States of which a delivery is still to come; all others are settled."""
FINAL = frozenset({State.DELIVERED, State.REMOVED, State.NOT_WANTED})
"""States after which nothing more is sent, whatever RabbitMQ still has."""


class WhyEnded(StrEnum):
    """Why no attempt is made any more, in the place of a class of failure (`Attempt.kind`)."""

    RETENTION = "retention"
    BUDGET = "budget"
    ABONNEMENT_REMOVED = "abonnement_removed"
    TOO_LARGE = "too_large"
    UNKNOWN_ABONNEMENT = "unknown_abonnement"


REASONS: frozenset[str] = frozenset(WhyEnded)


_ORDER = {state: number for number, state in enumerate(State)}
_ABSORBING = {State.DELIVERED: 1, State.REMOVED: 2}


def merge_key(state: State, *, round_: int, attempts: int, at: int) -> tuple[int, int, int, int, int]:
    """The rank of an outcome: of two of one delivery the greater wins; an equal one changes nothing.

    Gateway, deliverer and keeper write the same row in any order, and twice too. Removed wins over delivered,
    and delivered over all else, whatever the round.
    """
    return (_ABSORBING.get(state, 0), round_, attempts, _ORDER[state], at)


@dataclass(frozen=True, slots=True)
class PassedOn:
    """What a publisher sent with a notificatie to be passed on: ids of its batch and of its request, or "".

    lane: it waits in the lane for bulk (ledger/keeper/lane.py) in place of going to RabbitMQ at once.
    """

    batch: str = ""
    correlation: str = ""
    lane: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A notificatie that a gateway accepts.

    id: of ids.new_id. kanaal: its naam. kenmerken: as in the body. hops: deliveries of an NRC that it went
    through before. catalogue: the change number of the registry's copy by which `matched` was found.
    matched: the abonnementen that it is for. trace: the `traceparent` that went with its message, or "".
    passed_on: None when its publisher sent nothing to be passed on.
    """

    id: UUID
    received: int
    client: str
    kanaal: str
    resource: str
    actie: str
    hoofd_object: str
    resource_url: str
    kenmerken: Mapping[str, str]
    body: bytes
    catalogue: int
    matched: tuple[UUID, ...]
    hops: int = 0
    trace: str = ""
    passed_on: PassedOn | None = None


@dataclass(frozen=True, slots=True)
class Unrouted:
    """RabbitMQ did not confirm this notificatie, so all or some queues lack it; the keeper publishes it.

    Sticky: an Entry that is written later, or again, does not undo it. lane: it was not offered to RabbitMQ,
    and waits in the lane for bulk.
    """

    id: UUID
    lane: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """One delivery: a notificatie to an abonnement. replay: ORIGINAL, or the number of a replay."""

    notificatie: UUID
    abonnement: UUID
    replay: int = ORIGINAL


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt or a probe that failed, or why there was none.

    number: 1 and up; 0 of a probe, and where none was made. kind: the class of failure, or RETURNED. status:
    of the answer. ms: how long it took. detail: a line for people; of RETURNED its Cause.
    """

    at: int
    number: int
    kind: str
    detail: str
    status: int | None = None
    ms: float | None = None


class Cause(StrEnum):
    """Why a delivery was put into its queue again."""

    QUEUE = "queue"
    """Its queue was deleted."""
    EXCHANGE = "exchange"
    """The exchange of its kanaal was deleted."""
    RABBITMQ = "rabbitmq"
    """RabbitMQ lost all that it had."""
    OVERTAKEN = "overtaken"
    EMPTY = "empty"
    """E1 and E2 (keeper/losses/judging.py)."""
    DROPPED = "dropped"
    """RabbitMQ dead-lettered it, and no deliverer had given it up."""
    UNROUTED = "unrouted"
    """It was accepted without RabbitMQ, so this may be the first time."""
    OPERATOR = "operator"


RETURNED = "returned"
"""`kind` of the note among the attempts of a delivery that it was put into its queue again."""


DELIVERED_ALL_THE_SAME = "delivered_all_the_same"
"""`kind` of an attempt that succeeded though the delivery is REMOVED: it was under way by then."""
TAKEN_AS_DELIVERED = "taken_as_delivered"
"""`kind` of the note among the attempts that an operator called an UNSURE one delivered."""


CONSOLIDATED = "consolidated"
"""`kind` of the note that a newer notificatie stands for this one. detail: its id."""

NO_EVENT = "no_event"
"""`kind` of the note among the attempts of a NOT_WANTED delivery whose notificatie becomes no CloudEvent.

Its detail has the mapping, and kanaal/resource/actie: `mijnoverheid: zaken/resultaat/create`.
"""


def returned(at: int, cause: Cause) -> Attempt:
    """The note among the attempts. at: when its cause happened."""
    return Attempt(at, 0, RETURNED, cause.value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one delivery at a moment; merged by `merge_key`.

    attempts: done in all. wait: seconds until the next attempt may be made; the store makes `since` of it
    by the database's clock, and of RETRYING `next_at` too. failed: the failed attempt that led to it; of
    RETURNING the cause. status, ms: of the answer, when it was delivered. kanalen_change: of NOT_WANTED, the
    change number at which the kanalen of its abonnement last changed: a notificatie that was matched with
    these is wanted, so its row stays open, in doubt; without a row nothing is kept. None: it is final. anew:
    it is sent again as a new one, and its waiting time begins now. waits: of RETURNING, that nobody asked for
    it and RabbitMQ did not lose it: it waits for its turn.
    """

    key: Key
    state: State
    round: int
    attempts: int
    at: int
    wait: float | None = None
    failed: Attempt | None = None
    status: int | None = None
    ms: float | None = None
    kanalen_change: int | None = None
    anew: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """A failed probe of a held abonnement, with this notificatie; it counts no attempt, changes no state."""

    key: Key
    failed: Attempt


LIVE = 15.0
"""Seconds without a heartbeat after which a deliverer counts as dead, and has nothing in hand any more."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A deliverer is alive. process: its name, unique among those that run.

    hands: the deliveries that it took from its queues and has not settled, or whose outcome is not written; a
    key with EVERYTHING stands for all of its abonnement. all_flushed: all other outcomes are written: the
    store sets `flushed_until` to the moment of this write, by the database's clock. stopped: it ended, and
    has nothing in hand any more.
    """

    process: str
    all_flushed: bool
    hands: frozenset[Key] = frozenset()
    stopped: bool = False


CUT_OFF = Key(EVERYTHING, EVERYTHING)
"""In `Heartbeat.hands` by itself: this deliverer has no RabbitMQ, consumes no queue, and has nothing in hand.

It lives nevertheless. The others take over its part of what is paced (deliverer/pacing/shares.py).
"""


def is_in_hand(key: Key, hands: frozenset[Key]) -> bool:
    """Whether processes with these hands have this delivery, or may have it."""
    return key in hands or replace(key, notificatie=EVERYTHING, replay=ORIGINAL) in hands


class Scope(StrEnum):
    """What a gap covers."""

    EVERYTHING = "everything"
    KANAAL = "kanaal"
    ABONNEMENT = "abonnement"


OPERATOR = "operator"
"""`why` of a gap that an operator opened; only an operator closes it."""


@dataclass(frozen=True, slots=True)
class GapOpened:
    """Opens a gap: RabbitMQ may have lost messages of this scope. Written before anything is repaired.

    of: the naam of a kanaal, or the UUID of an abonnement; "" of everything. No-op while such a gap is open.
    """

    scope: Scope
    of: str
    why: str


@dataclass(frozen=True, slots=True)
class GapClosed:
    """Closes a gap: what was lost is declared again. scope None: all gaps but those of operators."""

    scope: Scope | None = None
    of: str = ""


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A time in which the ledger may lack notificaties that were accepted, or outcomes of deliveries.

    since: None when it lacks all of before. until: None when it still lacks it; `Ledger.write` then keeps the
    moment of writing. count: how many notificaties may be lacking; None when that is not known.
    """

    since: int | None
    until: int | None = None
    count: int | None = None


Event = Entry | Unrouted | Outcome | Probe | Heartbeat | GapOpened | GapClosed | Incomplete


class Notificatie(NamedTuple):
    """A notificatie as the ledger has it. body: None when it was shed. hops, trace: as of Entry.

    trace stays as long as the body, and is read with it; so are batch and correlation (PassedOn), which stay.

    A NamedTuple, since a search makes many: a frozen dataclass takes five times as long.
    """

    id: UUID
    received: int
    client: str
    kanaal: str
    resource: str
    actie: str
    size: int
    catalogue: int
    unrouted: bool
    body: bytes | None = None
    hops: int = 0
    trace: str = ""
    batch: str = ""
    correlation: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery as the ledger has it.

    since: when it last went into its queue, by the database's clock. last_at: of the last outcome. next_at:
    when a retry is due, else None. size: bytes of the body. given: how often it was given back by E1 or E2.
    status, ms: of the answer, when it was delivered. again_at: when it was last sent again as a new one, or
    replayed: it has waited since then, and not since it was accepted; by the database's clock.
    """

    key: Key
    state: State
    round: int
    attempts: int
    since: int
    last_at: int
    next_at: int | None = None
    size: int = 0
    given: int = 0
    doubt: bool = False
    status: int | None = None
    ms: float | None = None
    again_at: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is still to be delivered."""
        return self.state in OPEN

    def overtakes(self, round_: int) -> bool:
        """Whether a message of this round must not be sent: it is settled, or there is a newer round.

        An UNDELIVERABLE one is sent again in a newer round only.
        """
        ended = self.state is State.UNDELIVERABLE and self.round >= round_
        return ended or self.state in FINAL or self.round > round_


_VERDICT = (
    State.DELIVERED,
    *(state for state in State if state in OPEN),
    State.UNDELIVERABLE,
    State.NOT_WANTED,
    State.REMOVED,
)


def verdict(rows: Iterable[Delivery]) -> Delivery:
    """What became of a notificatie for one abonnement after all, of its delivery and those of replays.

    Delivered when any is; else what is still to come; else undeliverable, whatever became of a replay. Of
    several in that state the latest replay. Raises ValueError when there are none.
    """
    return min(rows, key=lambda row: (_VERDICT.index(row.state), -row.key.replay))


@dataclass(frozen=True, slots=True)
class Backlog:
    """Totals of what is open of one abonnement.

    count, size: all of it, bytes of bodies. oldest: `received` of the oldest. retrying: how many of them are
    between attempts; next_at: when the first of those is due. stuck: how many an operator has to look at.
    """

    count: int = 0
    size: int = 0
    oldest: int | None = None
    retrying: int = 0
    next_at: int | None = None
    stuck: int = 0

    @property
    def in_queue(self) -> int:
        """How many are in its queue, on their way there or in the hands of a deliverer."""
        return self.count - self.retrying - self.stuck


@dataclass(frozen=True, slots=True)
class Minute:
    """What was counted in one minute. at: when it began, in milliseconds since 1970.

    accepted: notificaties. came_to: how many deliveries came to each state; RETRYING once for each attempt
    that failed and has another. held: how many waited for abonnementen that nothing is sent to, when a keeper
    last looked in that minute; None when none did. took: how long it took from accepted to a callback's 2xx,
    without replays (durations.Counts); kept as long as rows are. asked_for: what was sent again because
    somebody asked for it, replays included; RETURNING is what RabbitMQ lost.
    """

    at: int
    accepted: int = 0
    came_to: Mapping[State, int] = field(default_factory=dict)
    held: int | None = None
    took: Mapping[int, int] = field(default_factory=dict)
    asked_for: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in some minutes. accepted: notificaties by naam of kanaal.

    came_to: as of Minute, by abonnement.
    """

    accepted: Mapping[str, int] = field(default_factory=dict)
    came_to: Mapping[UUID, Mapping[State, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How the deliveries to one abonnement went, of what was accepted in some time, without replays.

    deliveries: how many. delivered: to which the callback answered 2xx. failed: of which an attempt failed.
    late: delivered late (`Search.late`). slowest: the most milliseconds from accepted to delivered; None when
    none was delivered.
    """

    deliveries: int
    delivered: int
    failed: int
    late: int
    slowest: int | None

    @property
    def badness(self) -> tuple[int, int]:
        """Greater for those that went worse, for a list with the worst first."""
        return self.failed + self.late, self.slowest or 0


@dataclass(frozen=True, slots=True)
class Published:
    """What an application published on a kanaal, of the newest notificaties. last: when the last came.

    unmatched: how many of them were for no abonnement.
    """

    kanaal: str
    client: str
    count: int
    unmatched: int
    last: int


@dataclass(frozen=True, slots=True)
class Search:
    """Which notificaties are searched; a field that is None or empty does not restrict them.

    ids: these, in place of text. text: a URL, the last segment of one, or the id of a notificatie: found by
    hoofdObject, resourceUrl and id. hoofd_object, resource_url: the same of that field alone. kenmerken: each
    with exactly this value; names are normalised.
    abonnement, states, failed, late: of one and the same delivery. failed: an attempt of it failed. late: it
    was delivered so many milliseconds after it was accepted, or later; without replays. after, before:
    `received`, the former included.
    """

    text: str | None = None
    hoofd_object: str | None = None
    resource_url: str | None = None
    kanaal: str | None = None
    actie: str | None = None
    resource: str | None = None
    client: str | None = None
    kenmerken: Mapping[str, str] = field(default_factory=dict)
    abonnement: UUID | None = None
    states: frozenset[State] = frozenset()
    failed: bool = False
    late: int | None = None
    after: int | None = None
    before: int | None = None
    ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Shed:
    """What `Ledger.shed` removed, and what is left.

    bodies, rows: of notificaties. counts: of minutes. size: bytes that the ledger has in use. full: that is
    over its budget, and all that is left is still needed. undeliverable: of the rows, those of notificaties
    that were undeliverable still; None when there were none.
    """

    bodies: int = 0
    rows: int = 0
    counts: int = 0
    size: int = 0
    full: bool = False
    undeliverable: Incomplete | None = None
