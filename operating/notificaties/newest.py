"""The newest notificaties of a search, and of those what became of them, for who looks at a list that moves.

Costs the same however much comes: what is beyond the newest is not followed. Whoever must see everything uses
`following.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from ledger.ledger import Ledger
from ledger.tables.rows import COMMON
from ledger.values import Delivery, Key, Notificatie, Search, State
from operating.notificaties.following import LATE

Told = dict[Key, tuple[State, int, int]]
"""The deliveries of a notificatie as they were told: state, attempts and round of each."""


class Newest:
    """The newest `shown` of those that `search` asks for and that came since `since` (milliseconds).

    Where it asks for states also what came before and is in one of them, other than pending or delivered,
    which nearly all are. In these two it is noticed within LATE of its coming.
    """

    def __init__(self, ledger: Ledger, search: Search, *, since: int, shown: int) -> None:
        self._ledger = ledger
        self._search = replace(search, before=None)
        self._since = since
        self._most = shown
        self._shown: dict[UUID, Notificatie] = {}  # the newest first
        self._told: dict[UUID, Told] = {}

    async def news(self, *, now: int, most: int) -> Sequence[Notificatie]:
        """Those that came, or whose deliveries changed, since they were last told; the oldest first.

        now: milliseconds since 1970. most: how many at most, the newest; the others are told by a later call,
        if they are shown still.
        """
        found: dict[UUID, Notificatie] = {}
        for search in self._searches(now):
            found |= {each.id: each for each in await self._ledger.search(search, limit=self._most)}
        every = sorted(
            (found | self._shown).values(), key=lambda each: (each.received, each.id), reverse=True
        )
        self._shown = {each.id: each for each in every[: self._most]}
        deliveries = await self._ledger.deliveries(list(self._shown))
        known = {id_: self._told_of(deliveries[id_]) for id_ in self._shown}
        new = [each for id_, each in self._shown.items() if self._told.get(id_) != known[id_]][:most]
        self._told = {id_: told for id_, told in self._told.items() if id_ in self._shown}
        self._told |= {each.id: known[each.id] for each in new}
        return new[::-1]

    def _searches(self, now: int) -> Iterator[Search]:
        """What is looked for: each is found by an index, or ends at what came a moment ago."""
        states = self._search.states
        if rare := states - COMMON:
            yield replace(self._search, states=rare)
        if not states or states & COMMON:
            yield replace(self._search, states=states & COMMON, after=max(self._since, now - LATE))

    def _told_of(self, deliveries: Sequence[Delivery]) -> Told:
        of = self._search.abonnement
        return {
            each.key: (each.state, each.attempts, each.round)
            for each in deliveries
            if of in (None, each.key.abonnement)
        }
