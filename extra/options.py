"""/abonnement/{uuid}/options: how an own abonnement wants to be delivered to (schemas/delivery_options/)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from extra.asking import FETCHED, parts
from gateway.api.send_cloudevents import settled
from gateway.http.responses import json_answer
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.delivery_options import DeliveryOptions, given_of
from schemas.errors import InvalidParam, ValidationError
from schemas.fields import NON_FIELD

OFF = "Afleveropties staan in deze omgeving uit. Vraag de beheerder ze aan te zetten."

log = logger(__name__)


async def read(request: web.Request) -> web.Response:
    """200 with what is set; an empty object where that is nothing."""
    extra, _ = parts(request)
    _, abonnement = await extra.asks_about_own(request)
    return json_answer(_as_json(abonnement))


async def change(request: web.Request) -> web.Response:
    """200 with what is set from now on, in place of all that was."""
    extra, gateway = parts(request)
    client, abonnement = await extra.asks_about_own(request)
    async with gateway.changes.one(client.client_id):
        asked = await extra.body(request, DeliveryOptions)
        if asked and abonnement.is_pull:
            raise ValidationError([InvalidParam(NON_FIELD, "invalid", FETCHED)])
        if asked and not gateway.settings.delivery_options:
            raise ValidationError([InvalidParam(NON_FIELD, "invalid", OFF)])
        wanted = await settled(
            gateway.callbacks,
            replace(abonnement, options=asked or None),
            abonnement.options,
            mappings=gateway.catalogue.mappings,
            settings=gateway.settings,
        )
        changed = await extra.change(abonnement, options=wanted)
    log.info(
        "delivery options changed", abonnement=str(changed.uuid), client=client.client_id, options=asked.names
    )
    return json_answer(_as_json(changed))


async def remove(request: web.Request) -> web.Response:
    """204: from now on it is delivered to as ever."""
    extra, gateway = parts(request)
    client, abonnement = await extra.asks_about_own(request)
    if abonnement.options is not None:
        async with gateway.changes.one(client.client_id):
            await extra.change(abonnement, options=None)
        log.info(
            "delivery options changed", abonnement=str(abonnement.uuid), client=client.client_id, options=()
        )
    return web.Response(status=204)


def _as_json(abonnement: Abonnement) -> dict[str, Any]:
    return given_of(abonnement.options)
