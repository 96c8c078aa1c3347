"""What the console process has open, for all requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from uuid import UUID

from aiohttp import web

from console.login.oidc.provider import Provider
from ledger.ledger import Ledger
from ledger.opening import ledger_is_there, ledger_of, ledger_place
from operating.acts import Log, Operator
from operating.passwords import Passwords
from operating.removal import remove_queues
from router.catalogue import Catalogue
from router.requests import RouterClient
from runtime.amqp import Link
from runtime.log import logger
from runtime.settings import Settings
from schemas.errors import BrokerError, LedgerError
from store.registry import Registry

log = logger(__name__)


class OpenedLedger:
    """The ledger, opened when it is first asked for: the first gateway makes it, the console never does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._ledger: Ledger | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def get(self) -> Ledger:
        """The ledger, to read from. Raises LedgerError while there is none, or it cannot be opened."""
        async with self._opening:
            if self._ledger is None:
                if not ledger_is_there(self._settings):
                    place = ledger_place(self._settings)
                    raise LedgerError(f"there is no ledger {place} yet: the first gateway makes it")
                self._ledger = await self._opened.enter_async_context(ledger_of(self._settings))
            return self._ledger


LOGINS = ("succeeded", "failed", "busy")
"""How an attempt to log in may end; busy: no password was compared, since too many are."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted since the process began: requests by page class and status, logins by outcome."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    logins: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Console:
    """What a page works with.

    catalogue: this process's copy of the registry; `refresh` it after a write. link: a connection to RabbitMQ
    that is made again. router: asks the router over it. provider: for logins by OpenID Connect; None without
    these.
    """

    settings: Settings
    registry: Registry
    catalogue: Catalogue
    ledger: OpenedLedger
    link: Link
    router: RouterClient
    passwords: Passwords
    provider: Provider | None
    counts: Counts = field(default_factory=Counts)

    def acts_of(self, operator: Operator) -> Log:
        """Notes what this operator does; what could not be noted is in the process's log."""
        return Log(self.settings, operator, tell=_not_noted, registry=self.registry)

    async def announce(self, uuids: Iterable[UUID] = ()) -> str:
        """Have every process take a write of the registry at once; returns a Dutch sentence when it can't be.

        uuids: abonnementen whose queues are looked at: they go with one that was removed, and are made
        where they lack. The write stands in any case.
        """
        await self.catalogue.refresh()
        try:
            await remove_queues(self.router, uuids)
            await self.router.announce()
        except BrokerError as error:
            log.warning("processes not told of a change", reason=str(error))
            return (
                f"De andere processen konden het niet meteen horen; ze merken het binnen "
                f"{self.settings.refresh_interval:g} s."
            )
        return ""


def _not_noted(line: str) -> None:
    log.error("an act could not be noted", reason=line)


CONSOLE = web.AppKey("console", Console)
