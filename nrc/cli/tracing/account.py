"""Opens ledger and registry for a command that reads, and finds ids that are typed in part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

import click

from ledger.explaining.account import Account as Known
from ledger.explaining.account import Told
from ledger.ids import SKEW
from ledger.values import Notificatie, Search
from nrc.cli.connecting import opened_ledger, opened_registry
from nrc.cli.terminal import ids
from nrc.cli.tracing import times
from runtime.settings import Settings
from schemas.errors import UsageError

__all__ = ["Account", "Told", "opened_account"]

_MOST_ALIKE = 20_000  # notificaties of the time that the first characters of an id give


class Account(Known):
    """What ledger and registry know of notificaties now, with look-ups by ids that are typed in part."""

    async def meant(self, typed: str) -> Notificatie | None:
        """The notificatie with this id, whole or its first characters; None when there is none.

        Without its body. Raises UsageError when several match.
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
        """The abonnement that is typed: an existing one, one of `others`, or any by its whole UUID.

        Raises UsageError and Conflict.
        """
        return ids.abonnement(typed, self.catalogue.everyone, others=others, removed=True)


@asynccontextmanager
async def opened_account(settings: Settings) -> AsyncIterator[Account]:
    """Open the ledger and registry of these settings. Raises LedgerError, RegistryError and UsageError."""
    async with opened_registry(settings) as opened, opened_ledger(settings) as ledger:
        yield Account(
            ledger,
            opened.registry,
            opened.catalogue,
            most_attempts=1 + len(settings.retry_schedule),
            now=times.now(),
        )
