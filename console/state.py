"""What the console process has open, for all requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from aiohttp import web

from ledger.reopening import ReadLedger
from operating.acts import Log, Operator
from operating.passwords import Passwords
from operating.removal import remove_queues
from operating.status.asking import Sources
from router.catalogue import Catalogue
from router.requests import RouterClient
from runtime.amqp import Link
from runtime.log import logger
from runtime.settings import Settings
from schemas.errors import BrokerError
from store.registry import Registry

if TYPE_CHECKING:
    from console.login.oidc.provider import Provider

log = logger(__name__)


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
    ledger: ReadLedger
    link: Link
    router: RouterClient
    passwords: Passwords
    provider: Provider | None
    counts: Counts = field(default_factory=Counts)

    @property
    def sources(self) -> Sources:
        """What tells how the system is doing."""
        return Sources(self.settings, self.registry, self.catalogue, self.ledger, self.link)

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
