"""Which undeliverable notificaties a command is about: by their ids and their abonnement, also in part."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from nrc.cli import ids
from nrc.cli.reaching import opened_link
from router.undeliverable import Undeliverable, look
from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Selection:
    """Those with one of these ids, if any are named, and for this abonnement, if one is."""

    ids: frozenset[str]
    abonnement: str | None

    def has(self, item: Undeliverable) -> bool:
        """Whether it is one of them."""
        return self.abonnement in (None, _owner(item)) and (not self.ids or item.message_id in self.ids)


async def select(settings: Settings, typed: tuple[str, ...], abonnement: str | None) -> Selection:
    """What is meant by ids and an abonnement of which only the first characters may be typed.

    What is not there stays as it was typed. Raises UsageError when several begin so, and BrokerUnavailable.
    """
    asked = [*typed, *([] if abonnement is None else [abonnement])]
    if all(map(ids.is_whole, asked)):
        return Selection(frozenset(typed), abonnement)

    def near(item: Undeliverable) -> bool:
        return _owner(item).startswith(abonnement or "") and (not typed or item.message_id.startswith(typed))

    there = await look_at(settings, wanted=near)
    if abonnement is not None:
        abonnement = ids.the_one(abonnement, map(_owner, there), what="abonnement") or abonnement
    known = [item.message_id for item in there if abonnement in (None, _owner(item))]
    found = (ids.the_one(each, known, what="notificatie") or each for each in typed)
    return Selection(frozenset(found), abonnement)


async def look_at(
    settings: Settings,
    *,
    wanted: Callable[[Undeliverable], bool],
    limit: int = sys.maxsize,
    at_most: int = sys.maxsize,
) -> list[Undeliverable]:
    """The first `limit` that are `wanted` of `at_most`, oldest first. Raises BrokerUnavailable."""
    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        return await look(link.connection, wanted=wanted, limit=limit, at_most=at_most)


def _owner(item: Undeliverable) -> str:
    return str(item.abonnement or "")
