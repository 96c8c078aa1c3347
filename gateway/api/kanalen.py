"""The kanaal endpoints: list, read, create and change. A kanaal is never deleted, its naam never changes.

After a successful answer the registry has it and the kanaal's exchange is declared in RabbitMQ.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from gateway.api.attribute_filters import name_faults
from gateway.api.callback_check import check_documentation
from gateway.api.checks import TAKEN, naam_faults
from gateway.http.requests import must_accept_json, read_body, read_query
from gateway.http.responses import json_answer, json_list
from gateway.state import GATEWAY, Gateway
from runtime.log import logger
from schemas.application import Scope
from schemas.errors import BrokerUnavailable, Conflict, NotFound, RegistryError, ValidationError
from schemas.fields import parse
from schemas.jsontext import read_json
from schemas.kanaal import Kanaal, KanaalRequest, slots_for

log = logger(__name__)


async def list_kanalen(request: web.Request) -> web.Response:
    """200 with all kanalen, or those with `?naam=`."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    await gateway.authorise(request, Scope.PUBLICEREN, Scope.CONSUMEREN)
    naam = read_query(request, known=("naam",)).get("naam", "")
    await gateway.catalogue.refresh()
    collection = gateway.url(request, "kanaal")
    every = gateway.catalogue.every_kanaal()
    return json_list(as_json(kanaal, collection) for kanaal in every if naam in ("", kanaal.naam))


async def read_kanaal(request: web.Request) -> web.Response:
    """200 with one kanaal."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    await gateway.authorise(request, Scope.PUBLICEREN, Scope.CONSUMEREN)
    kanaal = await _existing(request, gateway)
    read_query(request)
    return json_answer(as_json(kanaal, gateway.url(request, "kanaal")))


async def create_kanaal(request: web.Request) -> web.Response:
    """201 with the new kanaal; its exchange is declared."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.PUBLICEREN)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        await gateway.catalogue.refresh()
        asked = await gateway.large_bodies(len(body), lambda: _parse(gateway, body))
        await check_documentation(gateway.callbacks, asked.documentatie_link, settings=gateway.settings)
        kanaal = await _add(gateway, asked, client_id=client.client_id)
    log.info("kanaal added", kanaal=kanaal.naam, client=client.client_id)
    answer = as_json(kanaal, gateway.url(request, "kanaal"))
    return json_answer(answer, status=201, headers={"Location": answer["url"]})


async def update_kanaal(request: web.Request) -> web.Response:
    """200 with the changed kanaal (PUT and PATCH). An absent documentatieLink or filters is kept."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.PUBLICEREN)
    kanaal = await _existing(request, gateway)
    read_query(request)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        partial = request.method == "PATCH"
        asked = await gateway.large_bodies(len(body), lambda: _parse(gateway, body, kanaal, partial=partial))
        link = asked.documentatie_link if "documentatie_link" in asked.model_fields_set else None
        filters = tuple(asked.filters) if "filters" in asked.model_fields_set else None
        await check_documentation(gateway.callbacks, link or "", settings=gateway.settings)
        await gateway.router.at_work()
        try:
            changed = await gateway.registry.update_kanaal(
                kanaal.uuid, documentatie_link=link, filters=filters
            )
        except Conflict:
            raise NotFound("Dit kanaal bestaat niet meer.") from None
        await gateway.router.apply_kanaal(changed.naam)
        await gateway.catalogue.try_refresh()
    log.info("kanaal changed", kanaal=changed.naam, client=client.client_id)
    return json_answer(as_json(changed, gateway.url(request, "kanaal")))


def as_json(kanaal: Kanaal, collection: str) -> dict[str, Any]:
    """A kanaal as JSON for an answer. collection: the URL of the list."""
    return {
        "url": f"{collection}/{kanaal.uuid}",
        "naam": kanaal.naam,
        "documentatieLink": kanaal.documentatie_link,
        "filters": kanaal.filters,
    }


async def _existing(request: web.Request, gateway: Gateway) -> Kanaal:
    await gateway.catalogue.refresh()
    kanaal = gateway.catalogue.kanaal_by_uuid(UUID(request.match_info["uuid"]))
    if kanaal is None:
        raise NotFound("Dit kanaal bestaat niet.")
    return kanaal


def _parse(
    gateway: Gateway, body: bytes, changes: Kanaal | None = None, *, partial: bool = False
) -> KanaalRequest:
    """The valid request. Raises ParseError, or ValidationError with every fault."""
    data = sent = read_json(body)
    if partial and changes and isinstance(sent, dict):
        data = {"naam": changes.naam, **sent}
    asked, faults = parse(KanaalRequest, data, sent=sent)
    faults += naam_faults(data, gateway.catalogue.kanalen, changes)
    if isinstance(data, dict):
        faults += name_faults(data.get("filters"), gateway.settings.attribute_filters)
    if faults or asked is None:
        raise ValidationError(faults)
    return asked


async def _add(gateway: Gateway, asked: KanaalRequest, *, client_id: str) -> Kanaal:
    """Store it and have its exchange declared; when that fails, remove it again."""
    new = Kanaal(
        uuid=uuid4(),
        naam=asked.naam,
        documentatie_link=asked.documentatie_link,
        filters=tuple(asked.filters),
        slots=slots_for(asked.filters),
        client_id=client_id,
    )
    await gateway.router.at_work()
    try:
        kanaal = await gateway.registry.add_kanaal(new, quota=gateway.settings.quota_kanalen)
    except Conflict:  # another process made it since our look
        raise ValidationError([TAKEN]) from None
    try:
        await gateway.router.apply_kanaal(kanaal.naam)
    except BrokerUnavailable:
        with suppress(RegistryError):
            await gateway.registry.remove_kanaal(kanaal.uuid)
        raise
    finally:
        await gateway.catalogue.try_refresh()
    return kanaal
