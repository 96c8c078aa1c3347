"""Abonnementen that are fetched: made, shown, changed and removed here, and unknown to the standard's API."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict

from extra.asking import Extra, parts, with_known
from gateway.api.abonnementen import refuse_gone
from gateway.api.attribute_filters import groups_of
from gateway.api.checks import group_faults
from gateway.http.requests import read_body, read_query
from gateway.http.responses import json_answer
from gateway.state import Gateway
from router.registering import change_abonnement
from runtime.log import logger
from schemas.abonnement import Abonnement, FilterGroup, FilterGroupRequest, as_groups
from schemas.application import Scope
from schemas.errors import BrokerError, Conflict, NotFound, ValidationError
from schemas.fields import fault, parse
from schemas.jsontext import read_json

OF_PUSH = (
    "Hier maak je een abonnement zonder callback, waarvan je de berichten ophaalt. Een met een callback maak "
    "je met POST /api/v1/abonnement."
)

log = logger(__name__)


class Group(FilterGroupRequest):
    """One item of `kanalen`, without properties that mean nothing: a filter misspelt is no filter."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _groups(value: object) -> list[object]:
    items = as_groups(value)
    if not items:
        raise fault("invalid", "Noem ten minste één kanaal: zonder komt er niets.")
    return items


class Asked(BaseModel):
    """The body: what the abonnement asks for, as in the standard's API."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kanalen: Annotated[list[Group], BeforeValidator(_groups)]


A = TypeVar("A", bound=Asked)


async def create(request: web.Request) -> web.Response:
    """201 with the new abonnement: what is accepted from now on can be fetched."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        await gateway.catalogue.refresh()
        kanalen = await gateway.large_bodies(len(body), lambda: _kanalen(extra, body))
        made = Abonnement(uuid4(), "", "", kanalen, client.client_id)
        added = await gateway.registry.add_abonnement(made, quota=gateway.settings.quota_abonnementen)
        await extra.announce()
    log.info("abonnement added", abonnement=str(added.uuid), client=client.client_id, fetched=True)
    answer = as_json(extra, request, added)
    return json_answer(answer, status=201, headers={"Location": answer["url"]})


def asked_of(extra: Extra, body: bytes, model: type[A]) -> A:
    """What is asked for. Raises ParseError and ValidationError."""
    data = read_json(body)
    asked, faults = parse(model, data)
    faults = [
        replace(each, reason=OF_PUSH) if each.name in ("callbackUrl", "auth") else each
        for each in with_known(faults, model)
    ]
    gateway = extra.gateway
    faults += group_faults(data, gateway.catalogue.kanalen, gateway.settings)
    if asked is None or faults:
        raise ValidationError(faults)
    return asked


def _kanalen(extra: Extra, body: bytes) -> tuple[FilterGroup, ...]:
    return kanalen_of(extra, asked_of(extra, body, Asked))


def kanalen_of(extra: Extra, asked: Asked) -> tuple[FilterGroup, ...]:
    """Its kanalen, as an abonnement has them."""
    gateway = extra.gateway
    return groups_of(asked.kanalen, gateway.catalogue.kanalen, gateway.settings.attribute_filters)


async def read(request: web.Request) -> web.Response:
    """200 with an own abonnement, of either kind."""
    extra, _ = parts(request)
    _, abonnement = await extra.asks_about_own(request)
    return json_answer(as_json(extra, request, abonnement))


async def change(request: web.Request) -> web.Response:
    """200 with the changed abonnement (PUT and PATCH): asked for from now on; what is ready stays so."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    abonnement = await extra.own_without_callback(request, client)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        await gateway.catalogue.refresh()
        kanalen = await gateway.large_bodies(len(body), lambda: _kanalen(extra, body))
        try:
            if abonnement.is_amqp:
                changed = await change_abonnement(
                    gateway.registry, gateway.router, abonnement.uuid, {"kanalen": kanalen}
                )
            else:
                changed = await gateway.registry.change_abonnement(
                    abonnement.uuid, lambda latest: replace(latest, kanalen=kanalen)
                )
        except Conflict:
            await refuse_gone(gateway, abonnement.uuid)
            raise
        await extra.announce()
    log.info("abonnement changed", abonnement=str(changed.uuid), client=client.client_id, fetched=True)
    return json_answer(as_json(extra, request, changed))


async def remove(request: web.Request) -> web.Response:
    """204: what waited for it becomes undeliverable, as with any abonnement that is removed."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    abonnement = await extra.own_without_callback(request, client)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        if not await gateway.registry.remove_abonnement(abonnement.uuid):
            raise NotFound("Dit abonnement bestaat niet meer.")
        if abonnement.is_amqp:
            await _remove_queues(gateway, abonnement.uuid)
        await extra.announce()
    log.info("abonnement removed", abonnement=str(abonnement.uuid), client=client.client_id)
    return web.Response(status=204)


async def _remove_queues(gateway: Gateway, uuid: UUID) -> None:
    """Have the router remove its queues; where that fails reconcile does, and its user goes by itself."""
    try:
        await gateway.router.finish_abonnement(uuid)
    except BrokerError as error:
        log.warning("queue not removed yet", abonnement=str(uuid), reason=str(error))


def as_json(extra: Extra, request: web.Request, abonnement: Abonnement) -> dict[str, Any]:
    """An own abonnement as it is answered, without its `auth`."""
    path = f"abonnement/{abonnement.uuid}"
    kind = "pull" if abonnement.is_pull else "amqp" if abonnement.is_amqp else "push"
    push = kind == "push"
    return {
        "uuid": str(abonnement.uuid),
        "type": kind,
        "state": abonnement.state,
        "url": extra.gateway.url(request, path) if push else extra.url(request, path),
        "callbackUrl": abonnement.callback_url if push else None,
        "kanalen": [{"naam": group.naam, "filters": dict(group.filters)} for group in abonnement.kanalen],
    }
