"""Which notificaties are meant by what people type: the URL of an object, a UUID, or an id, also in part.

Only reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ledger.explaining import Reason, not_complete, unknown
from ledger.explaining.account import Account as Known
from ledger.ids import SKEW
from ledger.values import Notificatie, Search
from operating.notificaties import ids
from schemas.errors import UsageError
from schemas.fields import is_http_url

NEAR = 300_000  # milliseconds before and after the moment that is asked for
_MOST_ALIKE = 20_000  # notificaties of the time that the first characters of an id tell


class Account(Known):
    """What is known of notificaties now, by ids of which the first characters may be typed."""

    async def meant(self, typed: str) -> Notificatie | None:
        """The notificatie with this id, whole or its first characters; None when there is none.

        Without its body. Raises UsageError when several begin so.
        """
        try:
            typed = ids.read_id(typed)
        except ValueError:
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


async def asked_for(
    account: Account, what: str, *, limit: int, at: int | None = None
) -> Sequence[Notificatie]:
    """Those of this object, or the one with this id."""
    after, before = (None, None) if at is None else (at - NEAR, at + NEAR)
    found = await account.ledger.search(Search(text=what, after=after, before=before), limit=limit)
    if found or is_http_url(what):
        return found
    one = await account.meant(what)
    return [] if one is None or (at is not None and abs(one.received - at) > NEAR) else [one]


async def what_is_missing(account: Account, what: str, *, at: int | None) -> Reason:
    """What there is to tell of an object that was not found (then)."""
    by = "dit hoofdObject of deze resource" if is_http_url(what) else "dit UUID of id"
    clock = account.clock
    if at is not None and (others := await asked_for(account, what, limit=1000)):
        nearest = min(others, key=lambda each: abs(each.received - at))
        text = (
            f"Binnen 5 minuten van {clock.bare(at)} is hier geen notificatie met {by} aangenomen; de "
            f"dichtstbijzijnde kwam {clock.at(nearest.received)}"
        )
        if incomplete := await account.incomplete(after=at - NEAR, before=at + NEAR):
            text += f"; {not_complete(clock, incomplete)}"
        return Reason("not_at_that_time", f"{text}.", {"nearest": clock.utc(nearest.received)})
    oldest = await account.oldest()
    if at is None:
        incomplete = await account.incomplete(after=oldest)
    else:
        incomplete = await account.incomplete(after=at - NEAR, before=at + NEAR)
    return unknown(clock, oldest=oldest, incomplete=incomplete, by=by)
