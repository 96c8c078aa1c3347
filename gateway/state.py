"""What every handler works with, and who may go on: the parts of one running gateway."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from aiohttp import web

from deliverer.http.client import CallbackClient
from gateway.accepting import Accepting
from gateway.http.admission import Changes, Publishes
from gateway.http.connections import Connections, most_connections
from gateway.http.large_bodies import LargeBodies
from gateway.http.requests import root_url
from gateway.http.slow_clients import MOST, SlowClients
from gateway.tokens import DEPENDS_ON_REGISTRY, Credentials, Tokens
from ledger.writer import Writer
from router.catalogue import Catalogue
from router.matching.index import Index
from router.publishing import Publisher
from router.requests import RouterClient
from runtime.log import logger
from runtime.settings import Settings
from schemas.application import Scope
from schemas.errors import PermissionDenied, RegistryError
from store.registry import Registry

API_ROOT = "/api/v1"

log = logger(__name__)


@dataclass(slots=True)
class Gateway:
    """The parts of one gateway process.

    stopping: answers now close their connection, so that keep-alive clients go to another process before
    this one ends.
    """

    settings: Settings
    registry: Registry
    catalogue: Catalogue
    publisher: Publisher
    router: RouterClient
    callbacks: CallbackClient
    writer: Writer
    tokens: Tokens = field(init=False)
    index: Index = field(init=False)
    accepting: Accepting = field(init=False)
    publishes: Publishes = field(init=False)
    changes: Changes = field(init=False, default_factory=Changes)
    connections: Connections = field(init=False)
    slow_clients: SlowClients = field(init=False)
    large_bodies: LargeBodies = field(init=False, default_factory=LargeBodies)
    stopping: bool = False

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.catalogue.applications, self.settings)
        self.index = self.catalogue.index  # now, and not at the first notificatie
        self.accepting = Accepting(self.publisher, self.writer)
        self.publishes = Publishes(
            requests=self.settings.gateway_max_in_flight, largest_body=self.settings.max_body
        )
        self.slow_clients = SlowClients(max(MOST, 4 * self.settings.max_body))
        self.connections = Connections(most_connections(self.settings.gateway_max_connections))

    async def authorise(self, request: web.Request, *any_of: Scope) -> Credentials:
        """Who calls, with at least one of these scopes. Raises PermissionDenied.

        A refusal that another look at the registry could change gets that look first.
        """
        header = request.headers.get("Authorization")
        try:
            client = self.tokens.credentials(header, now=time.time())
        except PermissionDenied as refusal:
            if refusal.code not in DEPENDS_ON_REGISTRY:
                raise
            client = await self._look_again(header)
        if client.scopes.isdisjoint(any_of):
            client = await self._look_again(header)
            if client.scopes.isdisjoint(any_of):
                raise PermissionDenied(f"Hiervoor is de scope {' of '.join(any_of)} nodig.")
        return client

    async def catch_up(self) -> None:
        """Let this process's copy follow a write that was made; it stands, whether that works or not."""
        try:
            await self.catalogue.refresh()
        except RegistryError as error:
            log.warning("registry cannot be read; going on with the copy", reason=str(error))

    async def _look_again(self, header: str | None) -> Credentials:
        await self.catalogue.fresh_look()
        return self.tokens.credentials(header, now=time.time())

    def url(self, request: web.Request, path: str) -> str:
        """The URL of a path in this API, from the root that the client used."""
        return f"{root_url(request, self.settings)}{API_ROOT}/{path}"


GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)
