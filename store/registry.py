"""The protocol of a registry store, whatever database is behind it (tests/contract/stores/test_registry.py).

All methods are coroutines, safe to call from several processes at once, atomic, and durable when they
return. They raise RegistryError (or its subclasses) and nothing of the database's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from schemas.abonnement import Abonnement, FilterGroup, Hold, State
from schemas.application import Application
from schemas.events.mapping import EventMapping
from schemas.kanaal import Kanaal
from store.alerts import Alerts
from store.secret_uses import SecretUses, UsedSecret
from store.users import Users

TOMBSTONE_AGE = 30 * 24 * 3600.0
TOMBSTONES = 10_000
"""How long removals are remembered (s), and how many; an older copy of the registry is read whole again."""
VERSION_AGE = 30 * 24 * 3600.0
VERSIONS = 10_000
VERSIONS_EACH = 100
"""How long former kanalen are kept after their end (s), how many, and how many of one abonnement."""
STATE_AGE = 30 * 24 * 3600.0
STATES = 50_000
STATES_EACH = 1000
"""The same for states; of all together about so many."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that changed from one change number up to `number`.

    A copy that applies these in any order equals the registry at `number`. `gone_*`: removed rows. whole:
    these are all rows that exist, so a copy must drop those that are not in it.
    """

    number: int
    kanalen: tuple[Kanaal, ...] = ()
    abonnementen: tuple[Abonnement, ...] = ()
    applications: tuple[Application, ...] = ()
    gone_kanalen: frozenset[UUID] = frozenset()
    gone_abonnementen: frozenset[UUID] = frozenset()
    gone_applications: frozenset[str] = frozenset()
    whole: bool = False
    mappings: Mapping[str, EventMapping] | None = field(default=None, compare=False)
    """All own mappings to CloudEvents, as they are at `number`. None: as they were."""


class DeclaredKind(StrEnum):
    """What the router declared in RabbitMQ.

    YOUNG is the note of a queue that is so new that RabbitMQ, when it is killed, may come back without its
    log (router/declaring/watching/new_queues.py).
    """

    EXCHANGE = "exchange"
    QUEUE = "queue"
    BINDING = "binding"
    YOUNG = "young"


@dataclass(frozen=True, slots=True)
class Declared:
    """One thing that was, or is about to be, declared in RabbitMQ.

    key: unique within kind (for a binding, its frozen form as JSON). owner: the UUID of an abonnement or
    "kanaal <naam>" that it belongs to; "" when it is shared. orphan_since: Unix seconds at which reconcile
    first found that nothing asks for it any more, else None.
    """

    kind: DeclaredKind
    key: str
    owner: str = ""
    orphan_since: float | None = None


@dataclass(frozen=True, slots=True)
class Secrets:
    """How the secrets are encrypted. Nothing in it is secret.

    where: where the keys come from. keys: their names, the first encrypts. in_use: how many values are under
    each ("": not encrypted). faults: a line for each value that cannot be read.
    """

    where: str
    keys: tuple[str, ...]
    in_use: Mapping[str, int]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LastFailure:
    """The last failed attempt of an abonnement. at: Unix seconds; detail: a line for people."""

    at: float
    detail: str


@dataclass(frozen=True, slots=True)
class KanalenVersion:
    """The kanalen and filters that an abonnement had from valid_from until valid_until (Unix seconds).

    valid_until: None for those that it has now. change: the change number with which they began.
    made_at: when the abonnement was made, None when that was before the registry kept versions.
    removed_at: when it was removed, in the last version of one that was. clock: valid_from less the monotonic
    clock of this host at that moment, which shows whether the clock was set back since; None of versions from
    before that was kept.
    """

    abonnement: UUID
    kanalen: tuple[FilterGroup, ...]
    change: int
    valid_from: float
    valid_until: float | None
    made_at: float | None
    removed_at: float | None
    clock: float | None = field(default=None, compare=False)


class ChangedBy(StrEnum):
    """What brought an abonnement into a state."""

    MADE = "made"
    """Its owner, by making it."""
    OWNER = "owner"
    """Its owner, by changing it."""
    OPERATOR = "operator"
    CALLBACK = "callback"
    """Its callback: what it answered, or that it did not."""
    UNKNOWN = "unknown"
    """It had that state when the registry began to keep these."""


@dataclass(frozen=True, slots=True)
class StateVersion:
    """A state that an abonnement had from valid_from until valid_until (Unix seconds).

    valid_until: None for the one that it has now. reason: as of Abonnement, when the state began.
    """

    state: State
    reason: str
    by: ChangedBy
    valid_from: float
    valid_until: float | None


@dataclass(frozen=True, slots=True)
class Act:
    """An act of an operator, for the audit trail. Nothing in it is secret.

    at: Unix seconds. act: such as `abonnement suspended`. command: the command without its arguments, such as
    `abonnement suspend`. user: of the operating system; sudo_user: who called sudo, else "". host: its name.
    facts: what it was done to, and how, as JSON values: `abonnement`, `application`, `kanaal`, `why`, …
    nr: its place among all acts, from 1; 0 of one that is not noted yet.
    """

    at: float
    act: str
    command: str
    user: str
    sudo_user: str
    host: str
    facts: Mapping[str, object]
    nr: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ActSearch:
    """Which acts are searched; a field that is None does not restrict them.

    since, until: Unix seconds, the former included. who: a user or sudo_user, or how a user is
    shown. what: a part of the act or of its command, in any case. abonnement: a whole UUID; also of what was
    done to its application. application: also one that was given abonnementen of another. before: those noted
    before the act with this `nr`: the page after the one that ends with it.
    """

    since: float | None = None
    until: float | None = None
    who: str | None = None
    what: str | None = None
    abonnement: str | None = None
    application: str | None = None
    kanaal: str | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class NotedLedger:
    """Which ledger was in use, and how far it was (ledger/copies/instance.py).

    mark: how often it was marked. at: when last, in milliseconds since 1970.
    """

    instance: UUID
    mark: int
    at: int


@dataclass(frozen=True, slots=True)
class AcAnswer:
    """What the Autorisaties API last said of a client. at: Unix seconds. answer: JSON of who asked."""

    client_id: str
    at: float
    answer: str


class Registry(Protocol):
    """Kanalen, abonnementen, applications, and what was declared for them."""

    @property
    def users(self) -> Users:
        """Who may use the console, and who is logged in there."""

    @property
    def alerts(self) -> Alerts:
        """Of what operators are warned, and how."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def change_number(self) -> int:
        """The number of the last change; cheap enough to ask every second."""

    async def wait_for_change(self, at_most: float) -> None:
        """Return when another process may have changed something, at the latest after `at_most` seconds."""

    async def changes_since(self, number: int) -> Changes:
        """All that changed after `number`, from one snapshot; 0 gives everything, with all tombstones.

        Removals are remembered for at least 30 days. Asked with a number older than that, or one above
        the registry's own (another file), it answers as for 0. Those answers are `whole`.
        """

    async def add_kanaal(self, kanaal: Kanaal, *, quota: int | None = None) -> Kanaal:
        """Store a new kanaal; Conflict when its naam is taken. Returns it with its change number.

        quota: how many its client_id may have, this one included; QuotaReached when it has that many.
        """

    async def update_kanaal(
        self, uuid: UUID, *, documentatie_link: str | None, filters: tuple[str, ...] | None
    ) -> Kanaal:
        """Change what is not None, appending slots (`slots_for`); Conflict when it is gone."""

    async def remove_kanaal(self, uuid: UUID) -> bool:
        """Remove a kanaal to which no abonnement refers; False (and nothing removed) otherwise."""

    async def add_abonnement(self, abonnement: Abonnement, *, quota: int | None = None) -> Abonnement:
        """Store a new abonnement; Conflict when a kanaal that it names does not exist. Returns it as stored.

        Its kanalen_change is its change number, and its first version of kanalen begins.
        quota: as of `add_kanaal`.
        """

    async def change_abonnement(self, uuid: UUID, change: Callable[[Abonnement], Abonnement]) -> Abonnement:
        """Read it, apply `change` and store the result, but for uuid and client_id, in one transaction.

        So concurrent changes of other fields are kept. change: called in another thread; nothing is written
        when it raises. Conflict when it is gone or names an unknown kanaal. Returns it as stored.

        When `wants` differs, kanalen_change is the new change number, and a new version of kanalen begins.
        Else both stay, whatever `change` made of kanalen_change.
        """

    async def give_abonnement(self, uuid: UUID, *, to: str, keep_auth: bool = True) -> Abonnement:
        """Make it that of another application; Conflict when either is not there. Returns it as kept.

        keep_auth: with what its callback gets; else without, and suspended (`store.changing`). Nothing is
        written (no new change number) when it has that one already.
        """

    async def set_state(
        self, uuid: UUID, state: State, reason: str, *, callback_url: str | None = None
    ) -> Abonnement | None:
        """Suspend or resume; None when it is gone, or when `callback_url` is given and is no longer its own.

        callback_url: the callback that led to it; None: an operator did. Ends a hold. Nothing is written (no
        new change number) when state and reason are the same. Not for State.HELD: use `set_hold`.
        """

    async def set_hold(
        self, uuid: UUID, hold: Hold | None, reason: str, *, before: Hold | None, callback_url: str
    ) -> Abonnement | None:
        """Hold (before: None), note a probe, or release (hold: None); of concurrent callers one succeeds.

        None, and nothing written, when it is gone or suspended, its hold is no longer `before`, or its
        callbackUrl no longer `callback_url`.
        """

    async def note_failures(self, failures: Mapping[UUID, LastFailure]) -> None:
        """Note the last failed attempt of each of these abonnementen. Not a change."""

    async def last_failures(self) -> Mapping[UUID, LastFailure]:
        """The last failed attempt of each abonnement that had one."""

    async def remove_abonnement(self, uuid: UUID) -> bool:
        """Remove it; False when it did not exist. Its last version of kanalen ends."""

    async def kanalen_versions(self, uuid: UUID) -> tuple[KanalenVersion, ...]:
        """The present and former kanalen of an abonnement, also of one that was removed; the oldest first.

        Each begins when the one before ended. A former one is kept for 30 days after its end; at most the
        last 100 of one abonnement and the last 10,000 of all. So those between made_at and the first
        valid_from are not known any more. () for an unknown abonnement.
        """

    async def states(self, uuid: UUID) -> tuple[StateVersion, ...]:
        """The present and former states of an abonnement, also of one that was removed; the oldest first.

        Each begins when the one before ended; a probe begins none. A former one is kept for 30 days after its
        end; at most the last 1,000 of one abonnement and some 50,000 of all. () for an unknown abonnement.
        """

    async def event_mappings(self) -> Mapping[str, EventMapping]:
        """All own mappings to CloudEvents, by name."""

    async def set_event_mapping(self, name: str, mapping: EventMapping | None) -> bool:
        """Store it, in place of what has this name; None: remove that. False, and no change, when it is so.

        Conflict when one is to be removed that an abonnement has.
        """

    async def add_application(self, application: Application) -> Application:
        """Store a new application; Conflict when its client_id is taken."""

    async def change_application(
        self, client_id: str, change: Callable[[Application], Application]
    ) -> Application:
        """As `change_abonnement`, for an application: all but client_id; Conflict when it is gone."""

    async def remove_application(
        self,
        client_id: str,
        *,
        with_abonnementen: bool = False,
        give_to: str | None = None,
        keep_auth: bool = True,
    ) -> tuple[UUID, ...]:
        """Remove it, in one transaction with its abonnementen (removed or given away); returns those UUIDs.

        keep_auth: of those that are given away, as of `give_abonnement`. Conflict when it is unknown, when it
        owns abonnementen and neither option is given, or when `give_to` is unknown.
        """

    async def note_secret_uses(self, uses: Iterable[UsedSecret]) -> None:
        """Note the last use of each secret, when its application still has that. Not a change."""

    async def secret_uses(self) -> Mapping[str, SecretUses]:
        """By client_id, when the secrets of each application were last used.

        A use goes with its secret: with one that became the old one, and away with one that counts no more.
        """

    async def note_ac_answers(self, answers: Iterable[AcAnswer], *, gone: Iterable[str] = ()) -> None:
        """Note these, each unless a later one is there, and forget those of the clients that are `gone`.

        Not a change. An application that is removed takes its own with it.
        """

    async def ac_answers(self) -> tuple[AcAnswer, ...]:
        """All that were noted, in any order."""

    async def check_secrets(self) -> Secrets:
        """Decrypt every secret, and report those that cannot be decrypted."""

    async def rotate_secrets(self, *, progress: Callable[[int, int], None]) -> int:
        """Encrypt every secret with the first key, or with a new one when the keys are in our own file.

        All or none; returns how many. progress: called with (done, all), in another thread. Not a change.
        Raises SecretsUnreadable, with nothing written, when one can't be read.
        """

    async def declared(self) -> tuple[Declared, ...]:
        """All that was noted as declared."""

    async def declared_by(self, owner: str) -> tuple[Declared, ...]:
        """What was noted as declared for one owner."""

    async def note_declared(self, things: Iterable[Declared]) -> None:
        """Note (or note again, replacing owner and orphan_since) before declaring. Not a change."""

    async def forget_declared(self, things: Iterable[Declared]) -> None:
        """Forget what was removed from RabbitMQ. Not a change."""

    async def note_acts(self, acts: Iterable[Act]) -> None:
        """Append acts; they are never changed or removed. Not a change."""

    async def acts(self, search: ActSearch, *, limit: int) -> tuple[Act, ...]:
        """The newest `limit` of those found, the newest first."""

    async def note_ledger(self, noted: NotedLedger) -> None:
        """Note which ledger is in use. Not a change.

        A lower mark of the ledger that is noted already changes nothing.
        """

    async def noted_ledger(self) -> NotedLedger | None:
        """The ledger that was noted last; None before any was."""
