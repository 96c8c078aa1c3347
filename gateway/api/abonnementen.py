"""The abonnement endpoints: list, read, create, change and delete. `auth` is in no answer.

Every client may read all; only the application that made one may change it. After a successful answer the
registry has it and its queue and bindings are declared: what is published from then on reaches it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from gateway.api.callback_check import check_callback
from gateway.api.checks import group_faults, scheme_faults
from gateway.api.own_address import own_address_faults, own_roots
from gateway.http.requests import CALLBACK_URL, must_accept_json, read_body, read_query
from gateway.http.responses import json_answer, json_list
from gateway.state import GATEWAY, Gateway
from gateway.tokens import Credentials
from router.registering import RESUMED, add_abonnement, change_abonnement
from runtime.log import logger
from schemas.abonnement import Abonnement, AbonnementRequest, FilterGroup, State
from schemas.application import Scope
from schemas.callback_auth import CallbackAuth
from schemas.errors import (
    BrokerError,
    Conflict,
    NotFound,
    PermissionDenied,
    ValidationError,
)
from schemas.fields import parse
from schemas.jsontext import read_json

log = logger(__name__)


NO_AUTH = "-"
"""In place of the `auth` of an abonnement that has none, and something else that its callback asks for."""
PROPERTIES = frozenset({"callbackUrl", "auth", "kanalen"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A valid request. named: which of PROPERTIES it has; a PATCH may leave some out."""

    callback_url: str
    auth: str
    kanalen: tuple[FilterGroup, ...]
    named: frozenset[str]


async def list_abonnementen(request: web.Request) -> web.Response:
    """200 with the abonnementen of all applications."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    await gateway.authorise(request, Scope.PUBLICEREN, Scope.CONSUMEREN)
    read_query(request)
    await gateway.catalogue.refresh()
    collection = gateway.url(request, "abonnement")
    return json_list(as_json(one, collection) for one in gateway.catalogue.every_abonnement())


async def read_abonnement(request: web.Request) -> web.Response:
    """200 with one abonnement, of any application."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.PUBLICEREN, Scope.CONSUMEREN)
    abonnement = await _existing(request, gateway, client)
    read_query(request)
    return await _answer(gateway, request, abonnement)


async def create_abonnement(request: web.Request) -> web.Response:
    """201 with the new abonnement; its queue and bindings are declared."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.CONSUMEREN)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        await gateway.catalogue.refresh()
        asked = await gateway.large_bodies(len(body), lambda: _parse(gateway, request, body))
        await _check_callback(gateway, asked)
        abonnement = await _add(gateway, asked, client_id=client.client_id)
    every, collection = gateway.catalogue.every_abonnement(), gateway.url(request, "abonnement")

    def look_back() -> tuple[dict[str, Any], web.Response]:
        answer = as_json(abonnement, collection)
        location = {"Location": answer["url"]}
        return remarkable(abonnement, every), json_answer(answer, status=201, headers=location)

    marks, response = await gateway.large_bodies(_size(abonnement), look_back)
    log.info("abonnement added", abonnement=str(abonnement.uuid), client=client.client_id, **marks)
    return response


async def update_abonnement(request: web.Request) -> web.Response:
    """200 with the changed abonnement (PUT and PATCH); a PATCH keeps what it does not name.

    The callback is checked, unless a PATCH does not change callbackUrl and auth; for a suspended abonnement,
    unless it has neither. Passing the check resumes a suspended one.
    """
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.CONSUMEREN)
    abonnement = await _existing(request, gateway, client)
    _must_own(client, abonnement)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        asked = await gateway.large_bodies(
            len(body) + _size(abonnement), lambda: _parse(gateway, request, body, stored=abonnement)
        )
        checked = request.method == "PUT" or _wants_check(abonnement, asked)
        if checked:
            await _check_callback(gateway, asked, abonnement.callback_auth)
        changed = await _replace(gateway, abonnement, asked, resume=checked)
    log.info("abonnement changed", abonnement=str(changed.uuid), client=client.client_id, checked=checked)
    return await _answer(gateway, request, changed)


async def delete_abonnement(request: web.Request) -> web.Response:
    """204: nothing accepted from now on is sent there; what waited for it becomes undeliverable."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.CONSUMEREN)
    abonnement = await _existing(request, gateway, client)
    _must_own(client, abonnement)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        if not await gateway.registry.remove_abonnement(abonnement.uuid):
            raise NotFound("Dit abonnement bestaat niet meer.")
        try:
            await gateway.router.finish_abonnement(abonnement.uuid)
        except BrokerError as error:  # the row is removed; reconcile removes its queue
            log.warning("queue not removed yet", abonnement=str(abonnement.uuid), reason=str(error))
        await gateway.catalogue.try_refresh()
    log.info("abonnement removed", abonnement=str(abonnement.uuid), client=client.client_id)
    return web.Response(status=204)


def remarkable(abonnement: Abonnement, every: Iterable[Abonnement]) -> dict[str, Any]:
    """Facts for the log of what is probably a mistake: no kanalen, or the same as another's."""
    marks: dict[str, Any] = {} if abonnement.kanalen else {"kanalen": "none: nothing reaches it"}
    shape = _shape(abonnement)
    for other in every:
        beside = other.uuid != abonnement.uuid and other.callback_url == abonnement.callback_url
        if beside and _shape(other) == shape and other.wants() == abonnement.wants():
            return {**marks, "same_as": str(other.uuid)}
    return marks


def _shape(abonnement: Abonnement) -> set[tuple[str, int]]:
    """A quick comparison, before one of all filters."""
    return {(group.naam, len(group.filters)) for group in abonnement.kanalen}


def _size(abonnement: Abonnement) -> int:
    """The approximate size of its JSON, in bytes."""
    return sum(50 + 20 * len(group.filters) for group in abonnement.kanalen)


async def _answer(gateway: Gateway, request: web.Request, abonnement: Abonnement) -> web.Response:
    collection = gateway.url(request, "abonnement")
    return await gateway.large_bodies(_size(abonnement), lambda: json_answer(as_json(abonnement, collection)))


def as_json(abonnement: Abonnement, collection: str) -> dict[str, Any]:
    """An abonnement as JSON for an answer, without its `auth`. collection: the URL of the list."""
    return {
        "url": f"{collection}/{abonnement.uuid}",
        "callbackUrl": abonnement.callback_url,
        "kanalen": [{"naam": group.naam, "filters": dict(group.filters)} for group in abonnement.kanalen],
    }


async def _existing(request: web.Request, gateway: Gateway, client: Credentials) -> Abonnement:
    await gateway.catalogue.refresh()
    uuid = UUID(request.match_info["uuid"])
    abonnement = gateway.catalogue.abonnementen.get(uuid)
    if abonnement is None:
        fetched = gateway.catalogue.pulled.get(uuid)
        if fetched is not None and fetched.client_id == client.client_id:
            raise NotFound(
                f"Dit abonnement heeft geen callback; het staat op /api/extra/v1/abonnement/{uuid}."
            )
        raise NotFound("Dit abonnement bestaat niet.")
    return abonnement


def _must_own(client: Credentials, abonnement: Abonnement) -> None:
    if client.client_id != abonnement.client_id:
        raise PermissionDenied("Dit abonnement is door een andere applicatie gemaakt.")


def _parse(gateway: Gateway, request: web.Request, body: bytes, *, stored: Abonnement | None = None) -> Asked:
    """The valid request; a PATCH keeps what is `stored`, whatever the rules are now.

    Raises ParseError, or ValidationError with every fault. Notes the callbackUrl for the log.
    """
    data = sent = read_json(body)
    named = PROPERTIES
    if isinstance(sent, dict) and isinstance(url := sent.get("callbackUrl"), str):
        request[CALLBACK_URL] = url
    if isinstance(sent, dict) and stored is not None and request.method == "PATCH":
        named, data = (
            PROPERTIES & sent.keys(),
            {**as_json(stored, ""), "auth": stored.auth or NO_AUTH, **sent},
        )
    read, faults = parse(AbonnementRequest, data, sent=sent)
    if "callbackUrl" in named:
        faults += scheme_faults(data, gateway.settings)
        faults += own_address_faults(data, own_roots(request, gateway.settings))
    if "kanalen" in named:
        faults += group_faults(data, gateway.catalogue.kanalen)
    if faults or read is None:
        raise ValidationError(faults)
    groups = tuple(FilterGroup(group.naam, tuple(group.filters.items())) for group in read.kanalen)
    auth = read.auth if stored is None or "auth" in named else stored.auth
    return Asked(read.callback_url, auth, groups, named)


def _wants_check(abonnement: Abonnement, asked: Asked) -> bool:
    """Whether a PATCH needs the callback check."""
    if abonnement.state is not State.ACTIVE:
        return not asked.named.isdisjoint({"callbackUrl", "auth"})
    same_auth = hmac.compare_digest(asked.auth.encode(), abonnement.auth.encode())
    return asked.callback_url != abonnement.callback_url or not same_auth


async def _check_callback(gateway: Gateway, asked: Asked, callback_auth: CallbackAuth | None = None) -> None:
    await check_callback(
        gateway.callbacks,
        url=asked.callback_url,
        auth=asked.auth,
        callback_auth=callback_auth,
        settings=gateway.settings,
    )


async def _add(gateway: Gateway, asked: Asked, *, client_id: str) -> Abonnement:
    """Store it and have its queue declared; when that fails, it is removed again."""
    new = Abonnement(
        uuid=uuid4(),
        callback_url=asked.callback_url,
        auth=asked.auth,
        kanalen=asked.kanalen,
        client_id=client_id,
    )
    try:
        return await add_abonnement(
            gateway.registry, gateway.router, new, quota=gateway.settings.quota_abonnementen
        )
    finally:
        await gateway.catalogue.try_refresh()


async def refuse_gone(gateway: Gateway, uuid: UUID) -> None:
    """Raise NotFound when an abonnement, of either type, was removed meanwhile."""
    await gateway.catalogue.refresh()
    if uuid not in gateway.catalogue.everyone:
        raise NotFound("Dit abonnement bestaat niet meer.") from None


async def _replace(gateway: Gateway, abonnement: Abonnement, asked: Asked, *, resume: bool) -> Abonnement:
    """Write what the request changes, with bindings for the former and the new filters meanwhile."""
    await refuse_gone(gateway, abonnement.uuid)
    wanted: dict[str, Any] = dict(RESUMED) if resume else {}
    if "callbackUrl" in asked.named:
        wanted["callback_url"] = asked.callback_url
    if "auth" in asked.named:
        wanted["auth"] = asked.auth
    if "kanalen" in asked.named:
        wanted["kanalen"] = asked.kanalen
    try:
        changed = await change_abonnement(gateway.registry, gateway.router, abonnement.uuid, wanted)
    except Conflict:
        await refuse_gone(gateway, abonnement.uuid)
        raise
    await gateway.catalogue.try_refresh()
    return changed
