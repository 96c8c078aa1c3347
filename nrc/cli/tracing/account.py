"""Ledger and registry, opened to be read for a command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

from ledger.explaining.account import Told
from nrc.cli.connecting import opened_ledger, opened_registry
from nrc.cli.terminal import ids
from nrc.cli.tracing import times
from operating.notificaties import finding
from runtime.settings import Settings

__all__ = ["Account", "Told", "opened_account"]


class Account(finding.Account):
    """What is known of notificaties now, by ids of which the first characters may be typed."""

    def abonnement(self, typed: str, others: Iterable[UUID] = (), *, kanaal: str = "") -> UUID:
        """The abonnement that is typed: an existing one, one of `others`, or any by its whole UUID.

        kanaal: of several of one application the one on this kanaal is meant. Raises UsageError and Conflict.
        """
        return ids.of_someone(typed, self.catalogue.everyone, others=others, removed=True, kanaal=kanaal)


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
