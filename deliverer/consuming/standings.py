"""Which queues should be consumed, what is known of each, and which need a look now. No I/O.

Follows the changes that the catalogue tells, so that a look costs as much as what changed, whatever the
number of abonnementen. Does not know which queues are consumed: `consumers.py` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from uuid import UUID

from router.catalogue import Catalogue
from router.changes import Hint
from schemas.abonnement import State
from store.registry import Changes

DECLARED_WITHIN = 15.0  # seconds after which a queue is tried that no hint has called declared


@dataclass(slots=True)
class Standing:
    """What is known of one queue that should be consumed.

    sure: it is consumed without a trial: first on this connection, when nothing is in hand yet, or tried
    since. seen: it was tried on this connection, or sure. doubted: one of those among which one was that
    RabbitMQ ended a connection for; it is tried on the next one. refused: it is consumed on a channel of its
    own, since a refusal closes the channel. tries: in succession without being consumed.
    """

    sure: bool = False
    seen: bool = False
    doubted: bool = False
    refused: bool = False
    tries: int = 0

    def consumed(self) -> None:
        """It is consumed now; when that ends it is tried first."""
        self.sure = self.doubted = self.refused = False
        self.tries = 0


class Standings:
    """The standing of each queue that should be consumed, and those that are due: to be looked at now."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._of: dict[UUID, Standing] = {}
        self._due: set[UUID] = set()
        self._hint = Hint()
        self._awaited: dict[UUID, float] = {}  # since when (monotonic) the router declares these
        self._elsewhere: Set[UUID] = frozenset()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[UUID]:
        return iter(self._of)

    def get(self, uuid: UUID) -> Standing | None:
        """The standing of a queue, None for one that should not be consumed, as of the last look."""
        return self._of.get(uuid)

    def wanted(self, uuid: UUID) -> bool:
        """Whether its queue should be consumed now."""
        if self._stopping or uuid in self._elsewhere:
            return False
        abonnement = self._catalogue.abonnementen.get(uuid)
        return abonnement is not None and abonnement.state is State.ACTIVE

    def begin(self) -> None:
        """Start with a new connection: all are due, and sure but for those that are doubted."""
        known, self._of = self._of, {}
        for uuid in filter(self.wanted, self._catalogue.abonnementen):
            standing = self._of[uuid] = known.get(uuid) or Standing()
            standing.sure = standing.seen = not standing.doubted
        self._due = {*known, *self._of}

    def end(self) -> None:
        """Forget what only holds while the connection lasts."""
        self._hint = Hint()
        self._awaited.clear()

    def stop(self) -> None:
        """No queue should be consumed any more."""
        self._stopping = True
        self._due.update(self._of)

    def changed(self, changes: Changes) -> None:
        """What changed in the catalogue is due."""
        self._due.update(each.uuid for each in changes.abonnementen)
        self._due.update(changes.gone_abonnementen)

    def leave_to_others(self, uuids: Set[UUID]) -> None:
        """Leave the queues of these to other deliverers, in place of those that were left to them before."""
        self._due.update(uuids ^ self._elsewhere)
        self._elsewhere = uuids

    def look_at(self, uuids: Iterable[UUID]) -> None:
        """These are due."""
        self._due.update(uuids)

    def doubt(self, uuids: Iterable[UUID]) -> None:
        """RabbitMQ ended a connection for one of these."""
        for uuid in uuids:
            if (standing := self._of.get(uuid)) is not None:
                standing.doubted = True

    def heard(self, hint: Hint) -> bool:
        """Make those due that the router was to declare, since it gave this hint; whether there are any."""
        self._hint = hint
        self._due.update(self._awaited)
        return bool(self._awaited)

    def take(self) -> tuple[Collection[UUID], Collection[UUID]]:
        """Take all that are due: (those that should be consumed, those that should not)."""
        due, self._due = self._due, set()
        wanted, unwanted = [], []
        for uuid in due:
            if self.wanted(uuid):
                self._of.setdefault(uuid, Standing())
                wanted.append(uuid)
            else:
                self._of.pop(uuid, None)
                self._awaited.pop(uuid, None)
                unwanted.append(uuid)
        return wanted, unwanted

    def to_try(self, missing: Iterable[UUID], *, now: float) -> tuple[Collection[UUID], Collection[UUID]]:
        """(those that are tried now, those that are awaited from now on), of these that are not sure.

        now: monotonic seconds. What the router is to declare is awaited, DECLARED_WITHIN at most; it is due
        at each hint, and the caller looks at it when that time is over.
        """
        tried, awaited = [], []
        for uuid in missing:
            standing = self._of[uuid]
            if not standing.seen and self._hint.is_undeclared(self._catalogue.abonnementen[uuid]):
                if uuid not in self._awaited:
                    awaited.append(uuid)
                if now < self._awaited.setdefault(uuid, now) + DECLARED_WITHIN:
                    continue
            self._awaited.pop(uuid, None)
            standing.seen = True
            tried.append(uuid)
        return tried, awaited
