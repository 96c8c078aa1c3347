"""The parts of one running gateway, which all handlers share; and the check of a caller's scopes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from aiohttp import web

from deliverer.http.client import CallbackClient
from gateway.accepting import Accepting
from gateway.autorisaties.notices import Notices
from gateway.autorisaties.rights import Rights
from gateway.http.admission import CHANGE_WITHIN, CHANGES, Publishes, Turns
from gateway.http.connections import Connections, most_connections
from gateway.http.large_bodies import LargeBodies
from gateway.http.requests import root_url
from gateway.http.slow_clients import MOST, SlowClients
from gateway.repeats import Repeats
from gateway.secret_uses import SecretUses
from gateway.tokens import DEPENDS_ON_REGISTRY, Credentials, Tokens
from ledger.ledger import Ledger
from ledger.reopening import ReopenedLedger
from ledger.writer import Writer
from router.catalogue import Catalogue
from router.matching.index import Index
from router.publishing import Publisher
from router.requests import RouterClient
from runtime.settings import Settings
from schemas.application import Scope
from schemas.errors import PermissionDenied
from store.registry import Registry

API_ROOT = "/api/v1"


@dataclass(slots=True)
class Gateway:
    """The parts of one gateway process.

    changes: limits how many kanalen and abonnementen are made or changed at once. stopping: every answer
    closes its connection, so that clients go to another process. rights, notices: of the Autorisaties API,
    where there is one.
    """

    settings: Settings
    registry: Registry
    catalogue: Catalogue
    publisher: Publisher
    router: RouterClient
    callbacks: CallbackClient
    writer: Writer
    ledger: ReopenedLedger
    rights: Rights | None = None
    notices: Notices | None = None
    tokens: Tokens = field(init=False)
    secret_uses: SecretUses = field(init=False)
    index: Index = field(init=False)
    accepting: Accepting = field(init=False)
    repeats: Repeats = field(init=False)
    publishes: Publishes = field(init=False)
    changes: Turns = field(init=False)
    connections: Connections = field(init=False)
    slow_clients: SlowClients = field(init=False)
    large_bodies: LargeBodies = field(init=False, default_factory=LargeBodies)
    stopping: bool = False

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.catalogue.applications, self.settings)
        self.secret_uses = SecretUses(self.registry)
        self.index = self.catalogue.index  # builds it now, not at the first notificatie
        self.accepting = Accepting(self.publisher, self.writer, self.catalogue)
        self.repeats = Repeats(self._opened_ledger, window=self.settings.cloudevents_window)
        self.publishes = Publishes(
            requests=self.settings.gateway_max_in_flight, largest_body=self.settings.max_body
        )
        self.changes = Turns(CHANGES, within=CHANGE_WITHIN)
        self.slow_clients = SlowClients(max(MOST, 4 * self.settings.max_body))
        self.connections = Connections(most_connections(self.settings.gateway_max_connections))

    async def authorise(self, request: web.Request, *any_of: Scope) -> Credentials:
        """The credentials of the caller, who must have one of these scopes. Raises PermissionDenied.

        Before a refusal that a recent change of the registry would undo, it reads the registry again. Raises
        ServiceUnavailable when the scopes are those of the Autorisaties API and these are not known.
        """
        client = await self._with_scopes(await self.identify(request))
        if client.scopes.isdisjoint(any_of):
            await self.catalogue.fresh_look()
            client = await self._with_scopes(self._client(request))
        if client.scopes.isdisjoint(any_of):
            where = " in de Autorisaties API" if client.application.scopes_from_ac else ""
            raise PermissionDenied(f"Hiervoor is{where} de scope {' of '.join(any_of)} nodig.")
        return client

    async def identify(self, request: web.Request) -> Credentials:
        """The credentials of the caller, whatever scopes it has. Raises PermissionDenied."""
        try:
            return self._client(request)
        except PermissionDenied as refusal:
            if refusal.code not in DEPENDS_ON_REGISTRY:
                raise
        await self.catalogue.fresh_look()
        return self._client(request)

    async def _with_scopes(self, client: Credentials) -> Credentials:
        """The same, with its scopes by the Autorisaties API where they are there. Raises as `authorise`."""
        if not client.application.scopes_from_ac:
            return client
        if self.rights is None:
            raise PermissionDenied(
                "De rechten van deze applicatie staan in de Autorisaties API, maar er is er hier geen "
                "ingesteld; vraag het de beheerder (NRC_AC_URL)."
            )
        found = await self.rights.of(client.client_id)
        if not found.known:
            raise PermissionDenied("De Autorisaties API kent geen applicatie met dit client-id.")
        return replace(client, scopes=found.scopes & client.limit)

    async def _opened_ledger(self) -> Ledger:
        """The ledger, to read from; of a gateway that has just started once its first look at it is over.

        Raises LedgerError when it is not open then.
        """
        await self.writer.first_look()
        return self.ledger.ledger

    def _client(self, request: web.Request) -> Credentials:
        now = time.time()
        client = self.tokens.credentials(request.headers.get("Authorization"), now=now)
        self.secret_uses.used(client, request, now=now)
        return client

    def url(self, request: web.Request, path: str) -> str:
        """The URL of a path in this API, from the root that the client used."""
        return f"{root_url(request, self.settings)}{API_ROOT}/{path}"


GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)
