"""The ledger and the registry, opened to be read; and what both know of one delivery, put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict
from uuid import UUID

import click

from ledger.explaining import Case, Clock, Explanation, Former, Place, Returned, explain
from ledger.ids import SKEW
from ledger.values import RETURNED, Cause, Delivery, Incomplete, Key, Notificatie, Search, State
from nrc.cli.connecting import opened_ledger, opened_registry
from nrc.cli.terminal import ids
from nrc.cli.tracing import times
from schemas.errors import UsageError
from schemas.notificatie import kenmerken_of

if TYPE_CHECKING:
    from ledger.ledger import Ledger
    from ledger.values import Attempt
    from router.catalogue import Catalogue
    from runtime.settings import Settings
    from store.registry import KanalenVersion, Registry

_MOST_IN_ROW = 100_000  # of an abonnement, gone through to find a delivery's place
_MOST_ALIKE = 20_000  # notificaties of the time that the first characters of an id tell


@dataclass(frozen=True, slots=True)
class Told:
    """One delivery (None: there is none), its failed attempts, and what there is to tell of it."""

    abonnement: UUID
    client: str
    delivery: Delivery | None
    attempts: Sequence[Attempt]
    explanation: Explanation


class Account:
    """What is known of notificaties now."""

    def __init__(
        self, ledger: Ledger, registry: Registry, catalogue: Catalogue, *, most_attempts: int
    ) -> None:
        self.ledger = ledger
        self.catalogue = catalogue
        self._registry = registry
        self._versions: dict[UUID, Sequence[KanalenVersion]] = {}
        self.clock = Clock(times.now())
        self._most_attempts = most_attempts
        self._incomplete: Sequence[Incomplete] | None = None

    async def oldest(self) -> int | None:
        """When the oldest notificatie of the ledger was accepted; None when it is empty."""
        first = await self.ledger.search(Search(), limit=1, oldest_first=True)
        return first[0].received if first else None

    async def incomplete(self, *, after: int | None = None, before: int | None = None) -> list[Incomplete]:
        """When the ledger may lack something, of the time between these (milliseconds; None: from ever)."""
        if self._incomplete is None:
            self._incomplete = await self.ledger.incomplete()
        return [
            each
            for each in self._incomplete
            if (before is None or each.since is None or each.since <= before)
            and (after is None or each.until is None or after <= each.until)
        ]

    async def meant(self, typed: str) -> Notificatie | None:
        """The notificatie with this id, whole or its first characters; None when there is none.

        Without its body. Raises UsageError when several begin so.
        """
        try:
            typed = ids.uuid(typed)
        except click.BadParameter:
            return None
        if ids.is_whole(typed):
            return await self.ledger.notificatie(UUID(typed))
        first, last = ids.bounds(typed)
        search = Search(after=first - SKEW, before=last + SKEW)
        near = await self.ledger.search(search, limit=_MOST_ALIKE, oldest_first=True)
        found = {str(each.id): each for each in near}
        if len(near) == _MOST_ALIKE:
            raise UsageError(f"notificatie {typed}: so many came then; give more of its characters")
        one = ids.the_one(typed, found, what="notificatie")
        return None if one is None else found[one]

    def abonnement(self, typed: str, others: Iterable[UUID] = ()) -> UUID:
        """The abonnement that is typed: one that is there, one of `others`, or any by its whole UUID.

        Raises UsageError and Conflict.
        """
        return ids.abonnement(typed, self.catalogue.abonnementen, others=others, removed=True)

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
        """What became of it for one abonnement: each delivery, or why there is none."""
        found = (await self.ledger.deliveries([notificatie.id])).get(notificatie.id, ())
        own: list[Delivery | None] = [each for each in found if each.key.abonnement == abonnement]
        kenmerken = await self._kenmerken(notificatie)
        places = await self._places(each for each in own if each is not None)
        return [await self._tell(notificatie, abonnement, each, kenmerken, places) for each in own or [None]]

    async def _kenmerken(self, notificatie: Notificatie) -> dict[str, str] | None:
        whole = notificatie
        if whole.body is None:
            whole = await self.ledger.notificatie(notificatie.id) or notificatie
        return None if whole.body is None else kenmerken_of(whole.body)

    async def _tell(
        self,
        notificatie: Notificatie,
        abonnement: UUID,
        delivery: Delivery | None,
        kenmerken: Mapping[str, str] | None,
        places: Mapping[Key, Place],
    ) -> Told:
        known = self.catalogue.abonnementen.get(abonnement)
        noted = await self.ledger.attempts(delivery.key) if delivery is not None else ()
        attempts = [each for each in noted if each.kind != RETURNED]
        if abonnement not in self._versions:
            self._versions[abonnement] = await self._registry.kanalen_versions(abonnement)
        case = Case(
            clock=self.clock,
            notificatie=notificatie,
            kenmerken=kenmerken,
            kanaal=self.catalogue.kanalen.get(notificatie.kanaal),
            abonnement=known,
            delivery=delivery,
            attempts=attempts,
            most_attempts=self._most_attempts,
            returned=[Returned(each.at, Cause(each.detail)) for each in noted if each.kind == RETURNED],
            incomplete=await self.incomplete(after=notificatie.received, before=notificatie.received),
            incomplete_since=await self.incomplete(after=notificatie.received),
            place=None if delivery is None else places.get(delivery.key),
            **_of_versions(self._versions[abonnement]),
        )
        client = known.client_id if known is not None else ""
        return Told(abonnement, client, delivery, attempts, explain(case))

    async def _places(self, deliveries: Iterable[Delivery]) -> dict[Key, Place]:
        """The place in its row of each that waits in a queue."""
        wanted: dict[UUID, set[Key]] = defaultdict(set)
        for each in deliveries:
            if each.state in (State.PENDING, State.RETRYING):
                wanted[each.key.abonnement].add(each.key)
        if not wanted:
            return {}
        backlogs = await self.ledger.backlogs()
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
                if not left or number == _MOST_IN_ROW:
                    break
        return places


class _OfVersions(TypedDict, total=False):
    """What the versions of an abonnement's kanalen tell for a Case."""

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


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


@asynccontextmanager
async def opened_account(settings: Settings) -> AsyncIterator[Account]:
    """The ledger and the registry of these settings. Raises LedgerError, RegistryError and UsageError."""
    async with opened_registry(settings) as opened, opened_ledger(settings) as ledger:
        yield Account(
            ledger, opened.registry, opened.catalogue, most_attempts=1 + len(settings.retry_schedule)
        )
