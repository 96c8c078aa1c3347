"""What the processes share: the clock, the registry, RabbitMQ, the ledger; and the truth that checks read.

`Truth` is written where something happens and read by `checks.py` only. No rule of the product may ask it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from ledger.values import State
from tests.model.rules import Rules
from tests.model.system.broker import Broker, Key, Queue
from tests.model.system.ledger import Gap, Ledger
from tests.model.system.merge import SWEPT

PULLED = frozenset("PQ")
UNENDED = SWEPT | {State.UNSURE, State.NOT_WANTED}


class Violated(AssertionError):
    """An invariant does not hold. The text is `<invariant>: <what>`."""


@dataclass(frozen=True)
class Abonnement:
    """`changed` and `kanalen_changed` are change numbers; `wants` are its kanalen and filters: colours."""

    name: str
    wants: frozenset[str]
    made: int
    changed: int
    kanalen_changed: int
    kanalen_at: int
    held: bool = False
    removed: bool = False

    @property
    def is_pull(self) -> bool:
        """Whether it has no callback and no queue, and its consumers fetch."""
        return self.name in PULLED


@dataclass(frozen=True)
class Copy:
    """What a process knows of the registry: all of it, as it was at one moment."""

    change: int
    taken: int
    abonnementen: dict[str, Abonnement]

    def matching(self, colour: str) -> frozenset[str]:
        """The abonnementen that the plain predicate finds."""
        return frozenset(a.name for a in self.abonnementen.values() if colour in a.wants and not a.removed)

    def held(self, name: str) -> bool:
        known = self.abonnementen.get(name)
        return known is not None and known.held


@dataclass
class Registry:
    """Abonnementen, a tombstone of each that was removed, and changes of kanalen: (number, name, when)."""

    change: int = 0
    abonnementen: dict[str, Abonnement] = field(default_factory=dict)
    changes: list[tuple[int, str, int]] = field(default_factory=list)

    def copy(self, now: int) -> Copy:
        return Copy(self.change, now, dict(self.abonnementen))

    def set_kanalen(self, name: str, wants: frozenset[str], now: int) -> None:
        """Makes an abonnement, or changes its kanalen."""
        self.change += 1
        old = self.abonnementen.get(name)
        made, held = (old.made, old.held) if old else (now, False)
        self.abonnementen[name] = Abonnement(name, wants, made, self.change, self.change, now, held=held)
        self.changes.append((self.change, name, now))

    def set(self, name: str, *, held: bool = False, removed: bool = False) -> None:
        """Holds, releases or removes an abonnement; its kanalen stay."""
        self.change += 1
        self.abonnementen[name] = replace(
            self.abonnementen[name], held=held, removed=removed, changed=self.change
        )


@dataclass
class Promise:
    """A 201 for one abonnement. `single`: the ledger does not have it, through a fault of its own."""

    colour: str
    kanalen_changed: int
    single: bool = False


@dataclass
class Truth:
    """What really happened."""

    promises: dict[Key, Promise] = field(default_factory=dict)
    posted: dict[int, tuple[str, int, dict[str, int]]] = field(default_factory=dict)
    """Of each POST: its colour, when, and the abonnementen that matched, with their `kanalen_changed`."""
    delivered: Counter[Key] = field(default_factory=Counter)
    given: Counter[Key] = field(default_factory=Counter)
    repeats: Counter[Key] = field(default_factory=Counter)
    """Further deliveries that a fault may have caused, other than by a give-back."""
    excuses: Counter[Key] = field(default_factory=Counter)
    """Give-backs of a delivery that was not lost, one for each fault after which nobody can know."""
    excused_at: list[tuple[int, Key]] = field(default_factory=list)
    """Excuses that hold from a moment on: a publish without a confirm may still arrive before it."""
    handed_out: set[Key] = field(default_factory=set)
    """A consumer of its abonnement has had it."""
    claimed: set[Key] = field(default_factory=set)
    """Acknowledged by a cursor of another abonnement, whoever had it."""
    acknowledged: set[Key] = field(default_factory=set)
    """Answered with 204, and the ledger that heard of it is there still."""
    wiped: set[Key] = field(default_factory=set)
    """Of what is fetched: RabbitMQ lost its copy."""
    gap_lost: set[Key] = field(default_factory=set)
    """Lost in a way that is found at once: with a queue or exchange, or with a publish that failed."""
    shown_delivered: set[Key] = field(default_factory=set)


@dataclass
class World:
    rules: Rules
    clock: int = 1000
    registry: Registry = field(default_factory=Registry)
    broker: Broker = field(default_factory=Broker)
    truth: Truth = field(default_factory=Truth)
    works: dict[str, bool] = field(default_factory=dict)
    """Whether an abonnement's callback answers 204; else 500."""

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.rules)
        self.broker.tick(self.clock)
        for name in ("A", "B", "P"):
            self.subscribe(name, frozenset({"red"}))

    def subscribe(self, name: str, wants: frozenset[str]) -> None:
        """Makes or changes an abonnement; answered when its bindings stand, later while RabbitMQ is away."""
        self.registry.set_kanalen(name, wants, self.clock)
        self.works.setdefault(name, True)
        self.declare(name)

    def declare(self, name: str) -> None:
        """The queue of `name` and its bindings, if it has one, where RabbitMQ is there for it."""
        broker, wants = self.broker, self.registry.abonnementen[name].wants
        if broker.up and name not in PULLED:
            queue = broker.queues.setdefault(name, Queue(wants))
            queue.wants, queue.bound = wants, broker.exchange

    def excuse(self, keys: set[Key]) -> None:
        """A fault after which nobody can know whether these are lost: each may be given back once more."""
        self.truth.excuses.update(keys)

    def excuse_in(self, gap: Gap) -> None:
        """For what came in a gap that is closed now, into a queue that stood again: the gap covers it too."""
        truth = self.truth
        came = {key for key in self.open_keys(gap.ab) if truth.posted[key[0]][1] >= gap.opened}
        self.excuse({key for key in came if self.broker.has(key) or truth.delivered[key]})

    def excuse_late(self) -> None:
        """Grants the excuses whose moment has come."""
        due = [pair for pair in self.truth.excused_at if pair[0] <= self.clock]
        for pair in due:
            self.truth.excused_at.remove(pair)
            self.excuse({pair[1]})

    def open_keys(self, name: str | None = None) -> set[Key]:
        """Deliveries of `name` (None: of all with a queue) of which neither home knows an end."""
        found = {row.key for row in self.ledger.rows.values() if row.state in UNENDED}
        found |= {message.key for message in self.broker.copies()}
        return {key for key in found if name in (None, key[1]) and key[1] not in PULLED}
