"""Values: what is known of one notificatie and one abonnement (Case), and its Explanation. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from ledger.explaining.dutch import Clock
from ledger.explaining.fitting import Fit, Reason
from ledger.values import Attempt, Cause, Delivery, Incomplete, Notificatie
from schemas.abonnement import Abonnement, FilterGroup, State
from schemas.events.mapping import EventMapping
from schemas.kanaal import Kanaal
from store.registry import ChangedBy


class Code(StrEnum):
    """The codes of explanations, beside those of `fitting.FitCode`."""

    DELIVERED = "delivered"
    PENDING = "pending"
    HELD = "held"
    SUSPENDED = "suspended"
    RETRYING = "retrying"
    UNROUTED = "unrouted"
    RETURNING = "returning"
    WAITS_FOR_EARLIER = "waits_for_earlier"
    STUCK = "stuck"
    UNSURE = "unsure"
    TAKEN_AS_DELIVERED = "taken_as_delivered"
    UNDELIVERABLE = "undeliverable"
    REMOVED = "removed"
    NOT_WANTED = "not_wanted"
    CONSOLIDATED = "consolidated"
    NO_EVENT = "no_event"
    REPLAYED = "replayed"
    SENT_AGAIN = "sent_again"
    WITHHELD_THEN = "withheld_then"
    OTHER_FILTER_THEN = "other_filter_then"
    NOT_THERE_YET = "abonnement_not_there_yet"
    NOT_THERE_ANY_MORE = "abonnement_not_there_any_more"
    NO_SUCH_ABONNEMENT = "no_such_abonnement"
    KANALEN_FORGOTTEN = "kanalen_forgotten"
    BODY_GONE = "body_gone"
    NOT_RECORDED = "not_recorded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Returned:
    """A delivery was put into its queue again. at: when what led to it happened."""

    at: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Former:
    """Kanalen that an abonnement had until it was changed or removed. since: None when not known."""

    kanalen: tuple[FilterGroup, ...]
    until: int
    since: int | None = None


@dataclass(frozen=True, slots=True)
class StateThen:
    """A state that the abonnement had. until: None of the present one. by: what brought it into that."""

    state: State
    reason: str
    by: ChangedBy
    since: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """How many wait for an abonnement, and which of them this one is: 1 is the next. None: not known."""

    waiting: int
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that is known of one notificatie and one abonnement. Times are milliseconds since 1970.

    kenmerken: None when its body is gone. kanaal, abonnement: as they are now; None when they do not exist
    (any more). mappings: own ones to CloudEvents, by name. made, removed: of the abonnement, as far as known.
    since: when it got its present kanalen. former: its kanalen before those. states: those that it had, the
    oldest first, as far as known.
    delivery: the one to explain, None when there is none. attempts, returned: of that, the oldest first.
    waited: how often it waited in the ledger for an earlier one; waits_for: for which notificatie now.
    stands: the delivery of the newest that stands for it, of one that was consolidated, as far as known.
    most_attempts: how many attempts it gets in all. incomplete: times around its acceptance in which the
    ledger may lack something; incomplete_since: such times since then.
    """

    clock: Clock
    notificatie: Notificatie
    kenmerken: Mapping[str, str] | None = None
    kanaal: Kanaal | None = None
    abonnement: Abonnement | None = None
    mappings: Mapping[str, EventMapping] = field(default_factory=dict)
    made: int | None = None
    removed: int | None = None
    since: int | None = None
    former: Sequence[Former] = ()
    states: Sequence[StateThen] = ()
    delivery: Delivery | None = None
    attempts: Sequence[Attempt] = ()
    most_attempts: int | None = None
    place: Place | None = None
    returned: Sequence[Returned] = ()
    waited: int = 0
    waits_for: UUID | None = None
    stands: Delivery | None = None
    incomplete: Sequence[Incomplete] = ()
    incomplete_since: Sequence[Incomplete] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reasons, the most important first.

    fit: what the filters say; None when that is not known. kanalen, state: those of the abonnement when the
    notificatie was accepted; None when they are not known.
    """

    reasons: tuple[Reason, ...]
    fit: Fit | None = None
    kanalen: tuple[FilterGroup, ...] | None = None
    state: StateThen | None = None

    @property
    def code(self) -> str:
        """The code of the first reason."""
        return self.reasons[0].code

    @property
    def text(self) -> str:
        """All reasons, in Dutch."""
        return " ".join(reason.text for reason in self.reasons)

    def facts(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "code": self.code,
            "matches": None if self.fit is None else self.fit.matches,
            "text": self.text,
            "stateThen": None if self.state is None else self.state.state.value,
            "reasons": [
                {"code": reason.code, "text": reason.text, **reason.facts} for reason in self.reasons
            ],
        }
