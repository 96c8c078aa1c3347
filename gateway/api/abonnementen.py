"""The abonnement endpoints: list, read, create, change and delete. `auth` is in no answer.

Every client may read all; only the application that made one may change it. After a successful answer the
registry has it and its queue and bindings are declared: what is published from then on reaches it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from gateway.api import send_cloudevents
from gateway.api.attribute_filters import groups_of
from gateway.api.callback_check import check_callback_of
from gateway.api.checks import group_faults, scheme_faults
from gateway.api.own_address import own_address_faults, own_roots
from gateway.http.requests import CALLBACK_URL, must_accept_json, read_body, read_query
from gateway.http.responses import json_answer, json_list
from gateway.state import GATEWAY, Gateway
from gateway.tokens import Credentials
from router.registering import RESUMED, add_abonnement, change_abonnement
from runtime.log import logger
from schemas.abonnement import Abonnement, AbonnementRequest, FilterGroup, State, events_of
from schemas.application import Scope
from schemas.errors import BrokerError, Conflict, NotFound, PermissionDenied, ValidationError
from schemas.events.options import CloudEvents
from schemas.fields import parse
from schemas.jsontext import read_json

log = logger(__name__)


NO_AUTH = "-"
"""In place of the `auth` of an abonnement that has none, and something else that its callback asks for."""
PROPERTIES = frozenset({"callbackUrl", "auth", "kanalen"}) | send_cloudevents.NAMES


@dataclass(frozen=True, slots=True)
class Asked:
    """A valid request. named: which of PROPERTIES it has; a PATCH may leave some out.

    events: what it asks of CloudEvents; None: it gets notificaties.
    """

    callback_url: str
    auth: str
    kanalen: tuple[FilterGroup, ...]
    named: frozenset[str]
    events: CloudEvents | None = None


async def list_abonnementen(request: web.Request) -> web.Response:
    """200 with the abonnementen of all applications."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    await gateway.authorise(request, Scope.PUBLICEREN, Scope.CONSUMEREN)
    read_query(request)
    await gateway.catalogue.refresh()
    collection = gateway.url(request, "abonnement")
    extended = gateway.settings.cloudevents
    return json_list(
        as_json(one, collection, extended=extended) for one in gateway.catalogue.every_abonnement()
    )


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
        abonnement = await _add(gateway, await _checked(gateway, _new(asked, client_id=client.client_id)))
    every, collection = gateway.catalogue.every_abonnement(), gateway.url(request, "abonnement")

    def look_back() -> tuple[dict[str, Any], web.Response]:
        answer = as_json(abonnement, collection, extended=gateway.settings.cloudevents)
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
            asked = await _checked_change(gateway, abonnement, asked)
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
    gets_events = events_of(abonnement.options) is not None
    marks: dict[str, Any] = (
        {} if abonnement.kanalen or gets_events else {"kanalen": "none: nothing reaches it"}
    )
    shape = _shape(abonnement)
    for other in every:
        # The callback first: of 5,000 others none may have it, and comparing UUIDs takes six times as long.
        beside = other.callback_url == abonnement.callback_url and other.uuid != abonnement.uuid
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
    extended = gateway.settings.cloudevents
    return await gateway.large_bodies(
        _size(abonnement), lambda: json_answer(as_json(abonnement, collection, extended=extended))
    )


def as_json(abonnement: Abonnement, collection: str, *, extended: bool = False) -> dict[str, Any]:
    """An abonnement as JSON for an answer, without its `auth`. collection: the URL of the list.

    extended: with what the standard does not have, where the abonnement uses that.
    """
    more = send_cloudevents.shown(abonnement.options) if extended and abonnement.options is not None else {}
    return {
        "url": f"{collection}/{abonnement.uuid}",
        "callbackUrl": abonnement.callback_url,
        "kanalen": [{"naam": group.naam, "filters": dict(group.filters)} for group in abonnement.kanalen],
        **more,
    }


async def _existing(request: web.Request, gateway: Gateway, client: Credentials) -> Abonnement:
    await gateway.catalogue.refresh()
    uuid = UUID(request.match_info["uuid"])
    abonnement = gateway.catalogue.abonnementen.get(uuid)
    if abonnement is None or abonnement.is_amqp:
        other = abonnement or gateway.catalogue.pulled.get(uuid)
        if other is not None and other.client_id == client.client_id:
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
    options = None if stored is None else stored.options
    events, event_faults = send_cloudevents.asked_events(sent, options, on=gateway.settings.cloudevents)
    if isinstance(sent, dict) and isinstance(url := sent.get("callbackUrl"), str):
        request[CALLBACK_URL] = url
    if isinstance(sent, dict) and stored is not None and request.method == "PATCH":
        named = PROPERTIES & sent.keys()
        data = {**as_json(stored, ""), "auth": stored.auth or NO_AUTH, **sent}
    data = send_cloudevents.kanalen_not_needed(data, events)
    read, faults = parse(AbonnementRequest, data, sent=sent)
    faults += event_faults
    if "callbackUrl" in named:
        faults += scheme_faults(data, gateway.settings)
        faults += own_address_faults(data, own_roots(request, gateway.settings))
    if "kanalen" in named:
        faults += group_faults(data, gateway.catalogue.kanalen, gateway.settings)
    if faults or read is None:
        raise ValidationError(faults)
    groups = groups_of(read.kanalen, gateway.catalogue.kanalen, gateway.settings.attribute_filters)
    auth = read.auth if stored is None or "auth" in named else stored.auth
    return Asked(read.callback_url, auth, groups, named, events)


def _wants_check(abonnement: Abonnement, asked: Asked) -> bool:
    """Whether a PATCH needs the callback check."""
    if asked.events is not None and events_of(abonnement.options) is None:
        return True
    if abonnement.state is not State.ACTIVE:
        return not asked.named.isdisjoint({"callbackUrl", "auth"})
    same_auth = hmac.compare_digest(asked.auth.encode(), abonnement.auth.encode())
    return asked.callback_url != abonnement.callback_url or not same_auth


def _new(asked: Asked, *, client_id: str) -> Abonnement:
    return Abonnement(
        uuid=uuid4(),
        callback_url=asked.callback_url,
        auth=asked.auth,
        kanalen=asked.kanalen,
        client_id=client_id,
        options=send_cloudevents.with_events(None, asked.events),
    )


async def _checked(gateway: Gateway, abonnement: Abonnement) -> Abonnement:
    """The same, once its callback passed the check, with what it agrees to of CloudEvents."""
    await check_callback_of(gateway.callbacks, abonnement, settings=gateway.settings)
    if abonnement.options is None:
        return abonnement
    events = await send_cloudevents.agreed(gateway.callbacks, abonnement, settings=gateway.settings)
    return replace(abonnement, options=send_cloudevents.with_events(abonnement.options, events))


async def _checked_change(gateway: Gateway, abonnement: Abonnement, asked: Asked) -> Asked:
    """The same, once the callback passed the check as it will be asked."""
    options = send_cloudevents.with_events(abonnement.options, asked.events)
    wanted = replace(abonnement, callback_url=asked.callback_url, auth=asked.auth, options=options)
    checked = await _checked(gateway, wanted)
    return replace(asked, events=events_of(checked.options))


async def _add(gateway: Gateway, new: Abonnement) -> Abonnement:
    """Store it and have its queue declared; when that fails, it is removed again."""
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
    # The other options as they are now: an operator may have set one while the callback was checked.
    options = gateway.catalogue.everyone[abonnement.uuid].options
    if asked.events != events_of(options):
        wanted["options"] = send_cloudevents.with_events(options, asked.events)
    try:
        changed = await change_abonnement(gateway.registry, gateway.router, abonnement.uuid, wanted)
    except Conflict:
        await refuse_gone(gateway, abonnement.uuid)
        raise
    await gateway.catalogue.try_refresh()
    return changed
