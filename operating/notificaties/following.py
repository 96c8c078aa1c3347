"""What is new in the ledger since it was last asked: notificaties that came, and what became of deliveries.

Reads by the indexes that searches have. There is none by the moment of an outcome, so what is still open is
looked at again: all of it now and then, and soon what came a moment ago or is due.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from ledger.ids import received_of
from ledger.ledger import Ledger
from ledger.values import Attempt, Delivery, Key, Notificatie, Search, State

LATE = 3000  # milliseconds that a notificatie may be noted after it was accepted, and is still shown
RECENT = 60_000  # milliseconds for which what came is looked at each time
REST = 5000  # milliseconds between two looks at all that is open
MOST = 5000  # notificaties that are followed, the newest
PAGE = 500


@dataclass(frozen=True, slots=True)
class Came:
    """A notificatie was accepted. to: for how many abonnementen it is."""

    notificatie: Notificatie
    to: int


@dataclass(frozen=True, slots=True)
class Became:
    """A delivery came to another state. failed: the last attempt or event of it, unless it was delivered."""

    notificatie: Notificatie
    delivery: Delivery
    failed: Attempt | None


class Following:
    """News of the notificaties that `search` asks for, of one abonnement if it names one.

    states: only of deliveries that came to one of these, and not of what came; empty: everything. since: from
    when on what came is told, in milliseconds. given_up: how many are not followed, since it was too much.
    """

    def __init__(self, ledger: Ledger, search: Search, *, since: int, states: Collection[State] = ()) -> None:
        self._ledger = ledger
        self._abonnement = search.abonnement
        self._search = replace(search, states=frozenset(), after=None, before=None)
        self._since = since
        self._states = frozenset(states)
        self._seen: dict[UUID, int] = {}
        self._followed: dict[UUID, Notificatie | None] = {}
        self._deliveries: dict[UUID, dict[Key, Delivery]] = {}
        self._all_looked = 0
        self.given_up = 0

    async def begin(self) -> None:
        """Follow what came before `since` and is open, of the abonnement or of all; none of it is news."""
        backlogs = await self._ledger.backlogs()
        for abonnement in backlogs if self._abonnement is None else [self._abonnement]:
            async for delivery in self._ledger.open_of(abonnement):
                if len(self._followed) >= MOST:
                    self.given_up = sum(each.count for each in backlogs.values()) - MOST
                    break
                if (received_of(delivery.key.notificatie) or 0) < self._since:
                    self._followed[delivery.key.notificatie] = None
        for id_, every in (await self._ledger.deliveries(list(self._followed))).items():
            self._deliveries[id_] = {each.key: each for each in every}

    async def news(self, *, now: int) -> list[Came | Became]:
        """What is new since the last call, in the order of time. now: milliseconds since 1970."""
        found: list[Came | Became] = [*await self._came(now), *await self._became(now)]
        self._forget(now)
        return sorted(found, key=_moment)

    async def _came(self, now: int) -> list[Came | Became]:
        search = replace(self._search, after=self._since)
        found: list[Came | Became] = []
        last: UUID | None = None
        while True:
            page = await self._ledger.search(search, limit=PAGE, after=last, oldest_first=True)
            new = [each for each in page if each.id not in self._seen]
            deliveries = await self._ledger.deliveries([each.id for each in new])
            for each in new:
                self._seen[each.id] = each.received
                self._followed[each.id] = each
                if not self._states:
                    found.append(Came(each, len(deliveries[each.id])))
                found += await self._changes(each.id, deliveries[each.id])
            if len(page) < PAGE:
                self._since = max(self._since, now - LATE)  # all of it was read
                return found
            last = page[-1].id

    async def _became(self, now: int) -> list[Became]:
        everything = now - self._all_looked >= REST
        if everything:
            self._all_looked = now
        wanted = [id_ for id_ in self._followed if everything or self._is_due(id_, now)]
        found: list[Became] = []
        for start in range(0, len(wanted), PAGE):
            deliveries = await self._ledger.deliveries(wanted[start : start + PAGE])
            for id_, every in deliveries.items():
                found += await self._changes(id_, every)
        return found

    def _is_due(self, id_: UUID, now: int) -> bool:
        """Whether something may have become of it: it came a moment ago, or a next attempt may be over."""
        notificatie = self._followed[id_]
        if notificatie is not None and now - notificatie.received < RECENT:
            return True
        return any(
            each.next_at is not None and each.next_at <= now
            for each in self._deliveries.get(id_, {}).values()
        )

    async def _changes(self, id_: UUID, deliveries: Sequence[Delivery]) -> list[Became]:
        known = self._deliveries.setdefault(id_, {})
        found = []
        for each in deliveries:
            before, known[each.key] = known.get(each.key), each
            if self._abonnement in (None, each.key.abonnement) and self._is_news(before, each):
                notificatie = await self._notificatie(id_)
                if notificatie is not None:
                    found.append(Became(notificatie, each, await self._failed(each)))
        return found

    def _is_news(self, before: Delivery | None, now: Delivery) -> bool:
        if before is None:
            changed = now.state is not State.PENDING
        else:
            changed = (before.state, before.attempts, before.round) != (now.state, now.attempts, now.round)
        return changed and (not self._states or now.state in self._states)

    async def _failed(self, delivery: Delivery) -> Attempt | None:
        if delivery.state is State.DELIVERED:
            return None
        attempts = await self._ledger.attempts(delivery.key)
        return attempts[-1] if attempts else None

    async def _notificatie(self, id_: UUID) -> Notificatie | None:
        """The notificatie, when it is one of those asked for."""
        if (known := self._followed.get(id_)) is not None:
            return known
        found = await self._ledger.notificatie(id_)
        if found is not None:
            near = replace(self._search, after=found.received, before=found.received + 1)
            if id_ in {each.id for each in await self._ledger.search(near, limit=10 * PAGE)}:
                self._followed[id_] = found._replace(body=None)
                return self._followed[id_]
        self._followed.pop(id_, None)
        return None

    def _forget(self, now: int) -> None:
        """What is settled, and of too many the oldest."""
        self._seen = {id_: at for id_, at in self._seen.items() if at >= now - 2 * LATE}
        settled = [id_ for id_ in self._followed if id_ not in self._seen and not self._is_open(id_)]
        too_many = len(self._followed) - len(settled) - MOST
        if too_many > 0:
            gone = set(settled)
            settled += [id_ for id_ in sorted(self._followed) if id_ not in gone][:too_many]
            self.given_up += too_many
        for id_ in settled:
            del self._followed[id_]
        for id_ in self._deliveries.keys() - self._followed.keys():
            del self._deliveries[id_]

    def _is_open(self, id_: UUID) -> bool:
        return any(each.is_open for each in self._deliveries.get(id_, {}).values())


def _moment(each: Came | Became) -> tuple[int, UUID, bool]:
    if isinstance(each, Came):
        return each.notificatie.received, each.notificatie.id, False
    return each.delivery.last_at, each.notificatie.id, True
