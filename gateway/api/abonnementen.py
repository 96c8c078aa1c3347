"""The abonnement endpoints: list, read, create, change and delete. `auth` is never answered.

Everyone may read them all; only the application that made one may change it. An answer of success means
that the registry has it and its queue and bindings stand: what is published from then on reaches it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from gateway.api.callback_check import callback_faults
from gateway.api.checks import group_faults, scheme_faults
from gateway.api.own_address import own_address_faults
from gateway.http.requests import CALLBACK_URL, must_accept_json, read_body, read_query
from gateway.http.responses import json_answer, json_list
from gateway.state import GATEWAY, Gateway
from gateway.tokens import Credentials
from runtime.log import logger
from schemas.abonnement import Abonnement, AbonnementRequest, FilterGroup, State
from schemas.application import Scope
from schemas.errors import (
    BrokerError,
    Conflict,
    NotFound,
    PermissionDenied,
    RegistryError,
    ValidationError,
)
from schemas.fields import parse
from schemas.jsontext import read_json

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A sound request. named: what a PATCH names; None where it is none, and names everything."""

    callback_url: str
    auth: str
    kanalen: tuple[FilterGroup, ...]
    named: frozenset[str] | None

    def names(self, *properties: str) -> bool:
        """Whether it names one of these."""
        return self.named is None or not self.named.isdisjoint(properties)


async def list_abonnementen(request: web.Request) -> web.Response:
    """200 with everyone's abonnementen."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    await gateway.authorise(request, Scope.PUBLICEREN, Scope.CONSUMEREN)
    read_query(request)
    await gateway.catalogue.refresh()
    collection = gateway.url(request, "abonnement")
    return json_list(as_json(one, collection) for one in gateway.catalogue.every_abonnement())


async def read_abonnement(request: web.Request) -> web.Response:
    """200 with one abonnement, whoever made it."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    await gateway.authorise(request, Scope.PUBLICEREN, Scope.CONSUMEREN)
    abonnement = await _existing(request, gateway)
    read_query(request)
    return await _answer(gateway, request, abonnement)


async def create_abonnement(request: web.Request) -> web.Response:
    """201 with the new abonnement; its queue and bindings stand."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.CONSUMEREN)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        await gateway.catalogue.refresh()
        asked = await gateway.large_bodies(len(body), lambda: _parse(gateway, request, body))
        await _check_callback(gateway, url=asked.callback_url, auth=asked.auth)
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

    Passing the callback check resumes a suspended one. A PATCH needs no check when it leaves callbackUrl
    and auth as they are; on a suspended one, naming either is asking for the check.
    """
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.CONSUMEREN)
    abonnement = await _existing(request, gateway)
    _must_own(client, abonnement)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        asked = await gateway.large_bodies(
            len(body) + _size(abonnement), lambda: _parse(gateway, request, body, stored=abonnement)
        )
        checked = _wants_check(abonnement, asked)
        if checked:
            await _check_callback(gateway, url=asked.callback_url, auth=asked.auth)
        changed = await _replace(gateway, abonnement, asked, resume=checked)
    log.info("abonnement changed", abonnement=str(changed.uuid), client=client.client_id, checked=checked)
    return await _answer(gateway, request, changed)


async def delete_abonnement(request: web.Request) -> web.Response:
    """204: no notificatie accepted from now on goes there; what waited for it goes to nrc.undeliverable."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.CONSUMEREN)
    abonnement = await _existing(request, gateway)
    _must_own(client, abonnement)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        if not await gateway.registry.remove_abonnement(abonnement.uuid):
            raise NotFound("Dit abonnement bestaat niet meer.")
        try:
            await gateway.router.finish_abonnement(abonnement.uuid)
        except BrokerError as error:  # it is removed all the same; reconcile finishes it
            log.warning("queue not removed yet", abonnement=str(abonnement.uuid), reason=str(error))
        await gateway.catch_up()
    log.info("abonnement removed", abonnement=str(abonnement.uuid), client=client.client_id)
    return web.Response(status=204)


def remarkable(abonnement: Abonnement, every: Iterable[Abonnement]) -> dict[str, Any]:
    """Facts for the log of what is accepted and is seldom meant: no kanalen, or the same as another's."""
    marks: dict[str, Any] = {} if abonnement.kanalen else {"kanalen": "none: nothing reaches it"}
    shape = _shape(abonnement)
    for other in every:
        beside = other.uuid != abonnement.uuid and other.callback_url == abonnement.callback_url
        if beside and _shape(other) == shape and other.wants() == abonnement.wants():
            return {**marks, "same_as": str(other.uuid)}
    return marks


def _shape(abonnement: Abonnement) -> set[tuple[str, int]]:
    """What differs, and is quickly compared, between most that are not the same."""
    return {(group.naam, len(group.filters)) for group in abonnement.kanalen}


def _size(abonnement: Abonnement) -> int:
    """Bytes of its JSON, about."""
    return sum(50 + 20 * len(group.filters) for group in abonnement.kanalen)


async def _answer(gateway: Gateway, request: web.Request, abonnement: Abonnement) -> web.Response:
    collection = gateway.url(request, "abonnement")
    return await gateway.large_bodies(_size(abonnement), lambda: json_answer(as_json(abonnement, collection)))


def as_json(abonnement: Abonnement, collection: str) -> dict[str, Any]:
    """An abonnement as it is answered, without its `auth`; `collection` is the URL of them all."""
    return {
        "url": f"{collection}/{abonnement.uuid}",
        "callbackUrl": abonnement.callback_url,
        "kanalen": _groups_json(abonnement),
    }


def _groups_json(abonnement: Abonnement) -> list[dict[str, Any]]:
    return [{"naam": group.naam, "filters": dict(group.filters)} for group in abonnement.kanalen]


def _stored(abonnement: Abonnement) -> dict[str, Any]:
    """What a PATCH starts from."""
    return {
        "callbackUrl": abonnement.callback_url,
        "auth": abonnement.auth,
        "kanalen": _groups_json(abonnement),
    }


async def _existing(request: web.Request, gateway: Gateway) -> Abonnement:
    await gateway.catalogue.refresh()
    abonnement = gateway.catalogue.abonnementen.get(UUID(request.match_info["uuid"]))
    if abonnement is None:
        raise NotFound("Dit abonnement bestaat niet.")
    return abonnement


def _must_own(client: Credentials, abonnement: Abonnement) -> None:
    if client.client_id != abonnement.client_id:
        raise PermissionDenied("Dit abonnement is door een andere applicatie gemaakt.")


def _parse(gateway: Gateway, request: web.Request, body: bytes, *, stored: Abonnement | None = None) -> Asked:
    """The sound request, on what is `stored` when it is a PATCH. Raises ParseError, or ValidationError with
    every fault.

    What a PATCH keeps stays valid, whatever became of a kanaal's filters or a setting. The callbackUrl is
    noted for the log.
    """
    data = sent = read_json(body)
    named = None
    if isinstance(sent, dict) and isinstance(url := sent.get("callbackUrl"), str):
        request[CALLBACK_URL] = url
    if isinstance(sent, dict) and stored is not None and request.method == "PATCH":
        named, data = frozenset(sent), {**_stored(stored), **sent}
    read, faults = parse(AbonnementRequest, data, sent=sent)
    if named is None or "callbackUrl" in named:
        faults += scheme_faults(data, gateway.settings)
        faults += own_address_faults(data, request, gateway.settings)
    if named is None or "kanalen" in named:
        faults += group_faults(data, gateway.catalogue.kanalen)
    if faults or read is None:
        raise ValidationError(faults)
    groups = tuple(FilterGroup(group.naam, tuple(group.filters.items())) for group in read.kanalen)
    return Asked(read.callback_url, read.auth, groups, named)


def _wants_check(abonnement: Abonnement, asked: Asked) -> bool:
    if asked.named is None:
        return True
    if abonnement.state is not State.ACTIVE:
        return asked.names("callbackUrl", "auth")
    same_auth = hmac.compare_digest(asked.auth.encode(), abonnement.auth.encode())
    return asked.callback_url != abonnement.callback_url or not same_auth


async def _check_callback(gateway: Gateway, *, url: str, auth: str) -> None:
    faults = await callback_faults(gateway.callbacks, url=url, auth=auth, settings=gateway.settings)
    if faults:
        raise ValidationError(faults)


async def _add(gateway: Gateway, asked: Asked, *, client_id: str) -> Abonnement:
    """Keep it and have its queue declared; when that can't be done now, as if nothing was asked."""
    new = Abonnement(
        uuid=uuid4(),
        callback_url=asked.callback_url,
        auth=asked.auth,
        kanalen=asked.kanalen,
        client_id=client_id,
    )
    await gateway.router.at_work()
    abonnement = await gateway.registry.add_abonnement(new, quota=gateway.settings.quota_abonnementen)
    try:
        await gateway.router.apply_abonnement(abonnement.uuid)
    except BrokerError:
        with suppress(RegistryError):
            await gateway.registry.remove_abonnement(abonnement.uuid)
        raise
    finally:
        await gateway.catch_up()
    return abonnement


async def _replace(gateway: Gateway, abonnement: Abonnement, asked: Asked, *, resume: bool) -> Abonnement:
    """Have the new bindings made, keep the change, and have the former bindings taken off.

    In this order: what matches the former filters or the new ones is never without a way, and a fault before
    the registry has the change means that nothing was changed. The check and the bindings may take seconds:
    only what was asked is written, on top of what others changed meanwhile.
    """
    await gateway.catalogue.refresh()
    if abonnement.uuid not in gateway.catalogue.abonnementen:
        raise NotFound("Dit abonnement bestaat niet meer.")
    wanted: dict[str, Any] = {"state": State.ACTIVE, "state_reason": "", "hold": None} if resume else {}
    if asked.names("callbackUrl"):
        wanted["callback_url"] = asked.callback_url
    if asked.names("auth"):
        wanted["auth"] = asked.auth
    if asked.names("kanalen"):
        wanted["kanalen"] = asked.kanalen
    await gateway.router.prepare_abonnement(abonnement.uuid, wanted.get("kanalen", ()))
    try:
        changed = await gateway.registry.change_abonnement(
            abonnement.uuid, lambda latest: replace(latest, **wanted)
        )
    except Conflict:
        await gateway.catalogue.refresh()
        if abonnement.uuid not in gateway.catalogue.abonnementen:
            raise NotFound("Dit abonnement bestaat niet meer.") from None
        raise
    try:
        await gateway.router.finish_abonnement(changed.uuid)
    except BrokerError as error:  # it is changed all the same; reconcile finishes it
        log.warning("former bindings not removed yet", abonnement=str(changed.uuid), reason=str(error))
    await gateway.catch_up()
    return changed
