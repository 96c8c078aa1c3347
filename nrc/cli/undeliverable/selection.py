"""Which undeliverable notificaties a command is about: by their ids and their abonnement, also in part."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from ledger.ids import id_of_message
from ledger.values import Delivery, State
from nrc.cli.connecting import opened_link
from nrc.cli.terminal import ids
from nrc.cli.undeliverable.ledger_rows import Rows
from router.undeliverable import Undeliverable, look
from runtime.settings import Settings


@dataclass(frozen=True)
class Selection:
    """Those with one of these ids, if any are named, and for this abonnement, if one is.

    rows: those that the ledger has.
    """

    ids: frozenset[str]
    abonnement: str | None
    rows: Sequence[Delivery] = ()

    @cached_property
    def _ids(self) -> frozenset[UUID]:
        return frozenset(map(id_of_message, self.ids))

    def has(self, item: Undeliverable) -> bool:
        """Whether it is one of them."""
        owner = self.abonnement in (None, _owner(item))
        return owner and (not self.ids or id_of_message(item.message_id) in self._ids)

    def missing(self, found: Iterable[str]) -> list[str]:
        """Which of `ids` are not among these."""
        known = set(map(id_of_message, found))
        return sorted(each for each in self.ids if id_of_message(each) not in known)


async def select(
    settings: Settings, rows: Rows | None, typed: tuple[str, ...], abonnement: str | None
) -> Selection:
    """What is meant by ids and an abonnement of which only the first characters may be typed.

    What the ledger has is found there, and only what it has not is looked for in RabbitMQ. What is not there
    stays as it was typed. Raises UsageError when several begin so, and BrokerUnavailable.
    """
    near = [] if rows is None else await _near(rows, typed, abonnement)
    # (id, abonnement) of each that may be meant.
    there = [(str(row.key.notificatie), str(row.key.abonnement)) for row in near]
    in_part = [each for each in (*typed, *filter(None, [abonnement])) if not ids.is_whole(each)]
    if any(not _is_among(each, there) for each in in_part):

        def may_be(item: Undeliverable) -> bool:
            begins = not typed or item.message_id.startswith(typed)
            return begins and _owner(item).startswith(abonnement or "")

        items = await look_at(settings, wanted=may_be)
        there += [(item.message_id, _owner(item)) for item in items]
    if abonnement is not None:
        abonnement = ids.the_one(abonnement, (owner for _, owner in there), what="abonnement") or abonnement
    known = [id_ for id_, owner in there if abonnement in (None, owner)]
    found = frozenset(ids.the_one(each, known, what="notificatie") or each for each in typed)
    selection = Selection(found, abonnement)
    chosen = [row for row in near if selection.has(_as_item(row))]
    return Selection(found, abonnement, chosen)


async def _near(rows: Rows, typed: tuple[str, ...], abonnement: str | None) -> list[Delivery]:
    """Every undeliverable row that may be meant."""
    owner = abonnement or ""
    if typed:
        found = [row for each in typed for row in await rows.near(each)]
    else:
        one = UUID(owner) if ids.is_whole(owner) else None
        found = [row async for row in rows.undeliverable(abonnement=one)]
    unique = {row.key: row for row in found if row.state is State.UNDELIVERABLE}
    return [row for row in unique.values() if str(row.key.abonnement).startswith(owner)]


def _is_among(typed: str, there: Iterable[tuple[str, str]]) -> bool:
    meant = str(id_of_message(typed))
    return any(id_.startswith((typed, meant)) or owner.startswith(typed) for id_, owner in there)


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


def _as_item(row: Delivery) -> Undeliverable:
    """A row, for as far as a selection looks at it."""
    return Undeliverable(str(row.key.notificatie), row.key.abonnement, {}, b"", None)


def _owner(item: Undeliverable) -> str:
    return str(item.abonnement or "")
