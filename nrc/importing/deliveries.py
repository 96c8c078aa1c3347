"""What an Open Notificaties still had to deliver, into the ledger: each delivery once, in any number of runs.

A notificatie or CloudEvent goes in as a gateway accepts one while RabbitMQ is away: one transaction with its
entry, the abonnementen that it is for, and the mark by which the keeper puts each into its queue. So nothing
here depends on RabbitMQ, a run that is killed at any moment leaves whole transactions, and `nrc trace`, `nrc
explain` and the console tell of them as of all others.

A run notes its moment first. Ids are made of a moment and of the notificatie (ids.py), and what an earlier
run took over is looked for by each moment that was noted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from ledger.ledger import Ledger
from ledger.operating.replays import FIRST_ROUND, Plan, Progress
from ledger.values import Entry, Event, Key, Outcome, Search, State, Unrouted
from nrc.importing.ids import identity_of, imported_id
from nrc.importing.source import Pending
from operating.acts import Log
from router.matching.filters import matches
from schemas.abonnement import Abonnement
from schemas.errors import ParseError
from schemas.events.event import TYPE, fields_of, is_event
from schemas.fields import EVENTS
from schemas.notificatie import kenmerken_of, read_accepted, values_in
from store.registry import ActSearch, Registry

BEGUN = "import of deliveries begun"
ENDED = "deliveries imported"
AT_ONCE = 200
"""Notificaties in one transaction."""
_MOST_RUNS = 1000


class Why(StrEnum):
    """Why a delivery is not taken."""

    NO_ABONNEMENT = "its abonnement is not here: it was not taken, or is gone"
    UNREADABLE = "what is to be delivered is no notificatie and no CloudEvent"


@dataclass(slots=True)
class Account:
    """What was found, and what became of it: found is the sum of all others but under_way.

    taken: put into the ledger by this run, or to be put there by a dry one. there: by an earlier one. twice:
    of a notificatie that is to be delivered to that abonnement already. not_taken: by reason; abonnementen:
    of NO_ABONNEMENT, by what the source calls them. under_way: of what was taken, those of which an attempt
    may have been made. missing: of what was taken, those that the ledger did not have afterwards.
    """

    found: int = 0
    taken: int = 0
    there: int = 0
    twice: int = 0
    under_way: int = 0
    missing: int = 0
    not_taken: Counter[Why] = field(default_factory=Counter)
    abonnementen: Counter[str] = field(default_factory=Counter)

    def facts(self) -> dict[str, Any]:
        """The same for scripts."""
        return {
            "found": self.found,
            "taken": self.taken,
            "there": self.there,
            "twice": self.twice,
            "underWay": self.under_way,
            "missing": self.missing,
            "notTaken": [{"reason": why.value, "count": count} for why, count in self.not_taken.items()],
            "withoutAbonnement": dict(self.abonnementen),
        }


@dataclass(frozen=True, slots=True)
class _One:
    """A notificatie or event, and its rows by the abonnementen that still are to get it."""

    first: Pending
    data: Mapping[str, Any]
    wanted: dict[UUID, list[Pending]]


class Deliveries:
    """Takes over what one source has. abonnementen: those that are here, or will be.

    known: the UUID of an abonnement by what the source calls it. change: of the registry, at which these
    abonnementen are there.
    """

    def __init__(
        self, abonnementen: Mapping[UUID, Abonnement] | Set[UUID], known: Mapping[str, UUID], *, change: int
    ) -> None:
        self._here = abonnementen
        self._known = known
        self._change = change
        self._replays: dict[UUID, int] = {}
        self.account = Account()

    async def look(
        self, pending: AsyncIterator[Pending], ledger: Ledger | None, registry: Registry | None
    ) -> None:
        """Account for it, and change nothing. ledger, registry: None where there is none yet."""
        moments = [] if registry is None or ledger is None else await moments_of(registry)
        async for piece in _pieces(self._sorted(pending)):
            for one in piece if ledger is None else await self._new(ledger, piece, moments):
                self._count(one)

    async def rows_there(
        self, pending: AsyncIterator[Pending], ledger: Ledger, registry: Registry
    ) -> list[int]:
        """The numbers of the rows whose delivery earlier runs took over."""
        moments, found = await moments_of(registry), []
        async for piece in _pieces(self._sorted(pending)):
            for one, there in zip(piece, await self._there(ledger, piece, moments), strict=True):
                found += [row.number for uuid in one.wanted.keys() & there for row in one.wanted[uuid]]
        return sorted(found)

    async def take(
        self,
        pending: AsyncIterator[Pending],
        ledger: Ledger,
        registry: Registry,
        log: Log,
        *,
        source: str,
        tell: Callable[[Account], None],
    ) -> None:
        """Take it over. tell: called after each transaction. Raises LedgerError, RegistryError.

        Whatever ended it, another run does the rest.
        """
        earlier = await moments_of(registry)
        moment = max([time.time_ns() // 1_000_000, *(each + 1 for each in earlier)])
        # Before anything is written, and not as other acts are, whose row may fail.
        await registry.note_acts([log.append(BEGUN, source=source, moment=moment)])
        async for piece in _pieces(self._sorted(pending)):
            new = await self._new(ledger, piece, earlier)
            events: list[Event] = []
            for one in new:
                events += await self._events(ledger, one, moment)
            if events:
                await ledger.write(events)
                await self._check(ledger, new, moment)
            for one in new:
                self._count(one)
            tell(self.account)
        await log.record(ENDED, source=source, count=self.account.taken, found=self.account.found)

    def _count(self, one: _One) -> None:
        self.account.taken += len(one.wanted)
        self.account.under_way += sum(rows[0].under_way for rows in one.wanted.values())

    async def _sorted(self, pending: AsyncIterator[Pending]) -> AsyncIterator[_One]:
        """One notificatie or event after the other, with all that can be delivered of it."""
        group: list[Pending] = []
        async for row in pending:
            self.account.found += 1
            if group and not _belongs(row, group[0]):
                for one in self._of_group(group):
                    yield one
                group = []
            group.append(row)
        for one in self._of_group(group):
            yield one

    def _of_group(self, group: Sequence[Pending]) -> list[_One]:
        made: dict[bytes, _One] = {}
        for row in group:
            data = _data(row)
            uuid = self._known.get(str(row.abonnement))
            if data is None:
                self.account.not_taken[Why.UNREADABLE] += 1
            elif uuid is None or uuid not in self._here:
                self.account.not_taken[Why.NO_ABONNEMENT] += 1
                self.account.abonnementen[str(uuid or row.abonnement)] += 1
            else:
                # What a notificatie became for an abonnement there is an event of its own.
                one = made.setdefault(identity_of(row.body), _One(row, data, {}))
                rows = one.wanted.setdefault(uuid, [])
                self.account.twice += bool(rows)  # it was sent again by hand there, while it waited
                rows.append(row)
        return list(made.values())

    async def _new(self, ledger: Ledger, piece: Sequence[_One], moments: Sequence[int]) -> list[_One]:
        """The same without what earlier runs took over."""
        new = []
        for one, there in zip(piece, await self._there(ledger, piece, moments), strict=True):
            wanted = {uuid: rows for uuid, rows in one.wanted.items() if uuid not in there}
            self.account.there += len(one.wanted) - len(wanted)
            if wanted:
                new.append(_One(one.first, one.data, wanted))
        return new

    async def _there(self, ledger: Ledger, piece: Sequence[_One], moments: Sequence[int]) -> list[set[UUID]]:
        """The abonnementen for which earlier runs took each over."""
        there: list[set[UUID]] = [set() for _ in piece]
        for moment in moments:
            ids = [imported_id(moment, one.first) for one in piece]
            found = await ledger.deliveries(ids)
            for id_, of in zip(ids, there, strict=True):
                of.update(row.key.abonnement for row in found.get(id_, ()))
        return there

    async def _events(self, ledger: Ledger, one: _One, moment: int) -> list[Event]:
        """What goes into the ledger for one notificatie or event."""
        id_, data = imported_id(moment, one.first), fields_of(one.data)
        kanaal, kenmerken = str(data["kanaal"]), kenmerken_of(one.first.body) or {}
        assert isinstance(self._here, Mapping)  # noqa: S101 - of a run that is not dry
        values = kenmerken if kanaal == EVENTS else values_in({**data, "kenmerken": kenmerken})
        asked = [uuid for uuid in one.wanted if matches(self._here[uuid], kanaal, values)]
        entry = Entry(
            id=id_,
            received=moment,
            client="",  # Open Notificaties does not keep who published it
            kanaal=kanaal,
            resource=str(data.get("resource", "")),
            actie=str(data.get("actie", "")),
            hoofd_object=str(data.get("hoofdObject", "")),
            resource_url=str(data.get("resourceUrl", "")),
            kenmerken={name: value for name, value in kenmerken.items() if name != TYPE},
            body=one.first.body,
            catalogue=self._change,
            matched=tuple(asked),
        )
        events: list[Event] = [entry]
        if asked:
            events.append(Unrouted(id_))
        for uuid in one.wanted.keys() - set(asked):
            # Its filters changed there since, or they are of the notificatie that became an event: as a
            # replay, which is delivered whatever they say.
            key = Key(id_, uuid, await self._replay(ledger, uuid))
            events.append(Outcome(key, State.RETURNING, round=FIRST_ROUND, attempts=0, at=moment, anew=True))
        return events

    async def _replay(self, ledger: Ledger, uuid: UUID) -> int:
        if uuid not in self._replays:
            plan = Plan(uuid, Search(), "import from Open Notificaties", rate=1, total=0)
            made = await ledger.replays.make(plan, progress=Progress.DONE)
            self._replays[uuid] = made.number
        return self._replays[uuid]

    async def _check(self, ledger: Ledger, new: Sequence[_One], moment: int) -> None:
        """Count what the ledger does not have now, though it was written."""
        found = await ledger.deliveries([imported_id(moment, one.first) for one in new])
        for one in new:
            rows = found.get(imported_id(moment, one.first), ())
            self.account.missing += len(one.wanted.keys() - {row.key.abonnement for row in rows})


async def moments_of(registry: Registry) -> list[int]:
    """The moments of earlier runs, in milliseconds since 1970, the newest first. Raises RegistryError."""
    acts = await registry.acts(ActSearch(what=BEGUN), limit=_MOST_RUNS)
    return [int(str(act.facts["moment"])) for act in acts if act.act == BEGUN]


def _data(row: Pending) -> Mapping[str, Any] | None:
    """What is in a body; None when it is no notificatie and no event."""
    try:
        data = read_accepted(row.body) if row.body else None
    except ParseError:
        return None
    if not isinstance(data, dict):
        return None
    needed = ("source", "id", "type") if is_event(data) else ("kanaal",)
    return data if all(isinstance(data.get(name), str) for name in needed) else None


def _belongs(row: Pending, first: Pending) -> bool:
    """Whether both are of the same notificatie or event; where these are not kept no two are."""
    if row.notificatie is None and row.event is None:
        return False
    return (row.notificatie, row.event) == (first.notificatie, first.event)


async def _pieces(ones: AsyncIterator[_One]) -> AsyncIterator[list[_One]]:
    piece: list[_One] = []
    async for one in ones:
        piece.append(one)
        if len(piece) == AT_ONCE:
            yield piece
            piece = []
    if piece:
        yield piece
