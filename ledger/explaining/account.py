"""Reads what ledger and registry know of one delivery, and explains it.

The only module here with I/O: it makes the Case that the others explain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict
from uuid import UUID

from ledger.explaining.case import Case, Explanation, Former, Place, Returned, StateThen
from ledger.explaining.dutch import Clock
from ledger.explaining.fitting import Reader
from ledger.explaining.states import consolidated_into
from ledger.explaining.telling import explain
from ledger.tables.turns import BEHIND, waits_for
from ledger.values import ORIGINAL, RETURNED, Cause, Delivery, Incomplete, Key, Notificatie, Search, State
from schemas.notificatie import values_of

if TYPE_CHECKING:
    from ledger.ledger import Ledger
    from ledger.values import Attempt
    from router.catalogue import Catalogue
    from store.registry import KanalenVersion, Registry, StateVersion

MOST_INTO = 100  # notificaties, each of which stands for the one before, that are followed
MOST_IN_ROW = 100_000  # deliveries of an abonnement, counted to find the place of one


@dataclass(frozen=True, slots=True)
class Told:
    """One delivery (None: there is none), its failed attempts, and its explanation."""

    abonnement: UUID
    client: str
    delivery: Delivery | None
    attempts: Sequence[Attempt]
    explanation: Explanation


class Account:
    """What is known of notificaties at one moment.

    now: milliseconds since 1970. reader: for whom it is explained. most_in_row: deliveries of an abonnement
    that are counted to find the place of one; behind these the place is unknown.
    """

    def __init__(
        self,
        ledger: Ledger,
        registry: Registry,
        catalogue: Catalogue,
        *,
        most_attempts: int,
        now: int,
        reader: Reader = Reader.OPERATOR,
        most_in_row: int = MOST_IN_ROW,
    ) -> None:
        self.ledger = ledger
        self.catalogue = catalogue
        self._registry = registry
        self._versions: dict[UUID, Sequence[KanalenVersion]] = {}
        self._states: dict[UUID, Sequence[StateThen]] = {}
        self.clock = Clock(now, dated=reader is Reader.CONSUMER)
        self._most_attempts = most_attempts
        self._reader = reader
        self._most_in_row = most_in_row
        self._incomplete: Sequence[Incomplete] | None = None

    async def oldest(self) -> int | None:
        """When the oldest notificatie of the ledger was accepted; None when it is empty."""
        first = await self.ledger.search(Search(), limit=1, oldest_first=True)
        return first[0].received if first else None

    async def incomplete(self, *, after: int | None = None, before: int | None = None) -> list[Incomplete]:
        """The times between these in which the ledger may lack something (milliseconds; None: any)."""
        if self._incomplete is None:
            self._incomplete = await self.ledger.incomplete()
        return [
            each
            for each in self._incomplete
            if (before is None or each.since is None or each.since <= before)
            and (after is None or each.until is None or after <= each.until)
        ]

    async def keeper_works(self) -> bool:
        """Whether a keeper has the lease now."""
        lease = await self.ledger.keeping.lease()
        return lease is not None and lease.until >= self.clock.now

    async def deliveries(self, notificaties: Sequence[Notificatie]) -> dict[UUID, list[Told]]:
        """What became of each of these, by abonnement and replay."""
        by_id = await self.ledger.deliveries([each.id for each in notificaties])
        every = [delivery for deliveries in by_id.values() for delivery in deliveries]
        places = await self._places(every)
        told: dict[UUID, list[Told]] = {}
        for each in notificaties:
            kenmerken = await self._kenmerken(each) if by_id.get(each.id) else None
            told[each.id] = [
                await self._tell(each, delivery.key.abonnement, delivery, kenmerken, places)
                for delivery in by_id.get(each.id, ())
            ]
        return told

    async def of_abonnement(self, notificatie: Notificatie, abonnement: UUID) -> list[Told]:
        """What became of it for one abonnement: each delivery, and why there is none, or only replays."""
        found = (await self.ledger.deliveries([notificatie.id])).get(notificatie.id, ())
        own: list[Delivery | None] = [each for each in found if each.key.abonnement == abonnement]
        if all(each is not None and each.key.replay != ORIGINAL for each in own):
            own.insert(0, None)  # what was replayed to it may not have been for it: it tells why not
        kenmerken = await self._kenmerken(notificatie)
        places = await self._places(each for each in own if each is not None)
        return [await self._tell(notificatie, abonnement, each, kenmerken, places) for each in own]

    async def _kenmerken(self, notificatie: Notificatie) -> dict[str, str] | None:
        whole = notificatie
        if whole.body is None:
            whole = await self.ledger.notificatie(notificatie.id) or notificatie
        return None if whole.body is None else values_of(whole.body)

    async def _tell(
        self,
        notificatie: Notificatie,
        abonnement: UUID,
        delivery: Delivery | None,
        kenmerken: Mapping[str, str] | None,
        places: Mapping[Key, Place],
    ) -> Told:
        known = self.catalogue.everyone.get(abonnement)
        noted = await self.ledger.attempts(delivery.key) if delivery is not None else ()
        attempts = [each for each in noted if each.kind not in (RETURNED, BEHIND)]
        if abonnement not in self._versions:
            self._versions[abonnement] = await self._registry.kanalen_versions(abonnement)
            self._states[abonnement] = [*map(_state, await self._registry.states(abonnement))]
        case = Case(
            clock=self.clock,
            notificatie=notificatie,
            kenmerken=kenmerken,
            kanaal=self.catalogue.kanalen.get(notificatie.kanaal),
            abonnement=known,
            mappings=self.catalogue.mappings,
            states=self._states[abonnement],
            delivery=delivery,
            attempts=attempts,
            most_attempts=self._most_attempts,
            returned=[Returned(each.at, Cause(each.detail)) for each in noted if each.kind == RETURNED],
            waited=sum(each.kind == BEHIND for each in noted),
            waits_for=None if delivery is None else waits_for(delivery, noted),
            stands=None if delivery is None else await self._stands(delivery, attempts),
            incomplete=await self.incomplete(after=notificatie.received, before=notificatie.received),
            incomplete_since=await self.incomplete(after=notificatie.received),
            place=None if delivery is None else places.get(delivery.key),
            **_of_versions(self._versions[abonnement]),
        )
        client = known.client_id if known is not None else ""
        return Told(abonnement, client, delivery, attempts, explain(case, reader=self._reader))

    async def _stands(self, delivery: Delivery, attempts: Sequence[Attempt]) -> Delivery | None:
        """The delivery of the newest that stands for one that was consolidated, as far as known."""
        stands = None
        for _ in range(MOST_INTO):
            into = consolidated_into(attempts) if delivery.state is State.NOT_WANTED else None
            if into is None:
                break
            found = (await self.ledger.deliveries([UUID(into)])).get(UUID(into), ())
            key = Key(UUID(into), delivery.key.abonnement)
            stands = next((each for each in found if each.key == key), None)
            if stands is None:
                break
            delivery, attempts = stands, await self.ledger.attempts(key)
        return stands

    async def _places(self, deliveries: Iterable[Delivery]) -> dict[Key, Place]:
        """The place in its queue of each that waits."""
        wanted: dict[UUID, set[Key]] = defaultdict(set)
        for each in deliveries:
            if each.state in (State.PENDING, State.RETRYING):
                wanted[each.key.abonnement].add(each.key)
        if not wanted:
            return {}
        one = next(iter(wanted)) if len(wanted) == 1 else None
        backlogs = await self.ledger.backlogs(one)
        places: dict[Key, Place] = {}
        for abonnement, keys in wanted.items():
            waiting = backlogs[abonnement].count if abonnement in backlogs else 0
            places |= {key: Place(waiting) for key in keys}
            number, left = 0, set(keys)
            async for each in self.ledger.open_of(abonnement):
                number += 1
                if each.key in left:
                    places[each.key] = Place(max(waiting, number), number)
                    left.discard(each.key)
                if not left or number == self._most_in_row:
                    break
        return places


class _OfVersions(TypedDict, total=False):
    """The fields of a Case that follow from the versions of an abonnement's kanalen."""

    made: int | None
    removed: int | None
    since: int
    former: Sequence[Former]


def _of_versions(versions: Sequence[KanalenVersion]) -> _OfVersions:
    """versions: the oldest first."""
    if not versions:
        return {}
    last = versions[-1]
    told: _OfVersions = {
        "made": None if last.made_at is None else _ms(last.made_at),
        "removed": None if last.removed_at is None else _ms(last.removed_at),
        "former": [
            Former(each.kanalen, until=_ms(each.valid_until), since=_ms(each.valid_from))
            for each in versions
            if each.valid_until is not None
        ],
    }
    if last.valid_until is None:
        told["since"] = _ms(last.valid_from)
    return told


def _state(version: StateVersion) -> StateThen:
    until = None if version.valid_until is None else _ms(version.valid_until)
    return StateThen(version.state, version.reason, version.by, _ms(version.valid_from), until)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
