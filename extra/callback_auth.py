"""/abonnement/{uuid}/callback-auth: what the callback of an own abonnement asks for beyond its `auth`.

Secrets come in and never go out. What is given is tried first, as when an abonnement is made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from extra.asking import FETCHED, Extra, parts
from gateway.api.callback_check import check_callback_of
from gateway.http.responses import json_answer
from gateway.state import Gateway
from router.registering import RESUMED
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.callback_auth import CallbackAuth, without_secrets
from schemas.errors import InvalidParam, ValidationError
from schemas.fields import NON_FIELD

COST = 5.0  # requests; somebody else's servers work for each
FOR_OPERATORS = "Dat er geen Authorization meegaat, stelt alleen de beheerder in."
NOTHING = (
    "Noem ten minste een van oauth2, zgw, header, signature, clientCertificate en ca; "
    "met DELETE haal je alles weg."
)
NO_AUTH = (
    "Dit abonnement heeft geen `auth`: zonder deze gegevens ging er niets mee. Geef het eerst een `auth`."
)

log = logger(__name__)


async def read(request: web.Request) -> web.Response:
    """200 with what is set, without secrets; nothing of one that is fetched."""
    extra, _ = parts(request)
    _, abonnement = await extra.asks_about_own(request)
    return json_answer(_as_json(abonnement))


async def change(request: web.Request) -> web.Response:
    """200 with what is set from now on, in place of all that was."""
    extra, gateway = parts(request)
    client, abonnement = await extra.asks_about_own(request, cost=COST)
    async with gateway.changes.one(client.client_id):
        asked = await extra.body(request, CallbackAuth)
        if abonnement.is_pull or abonnement.is_amqp:
            raise ValidationError([InvalidParam(NON_FIELD, "invalid", FETCHED)])
        if asked.no_auth:
            raise ValidationError([InvalidParam("noAuth", "invalid", FOR_OPERATORS)])
        if not asked:
            raise ValidationError([InvalidParam(NON_FIELD, "required", NOTHING)])
        if not abonnement.auth and not asked.identifies:
            raise ValidationError([InvalidParam(NON_FIELD, "invalid", NO_AUTH)])
        changed = await _set(extra, gateway, abonnement, asked.keeping(abonnement.callback_auth))
    log.info(
        "callback auth changed", abonnement=str(changed.uuid), client=client.client_id, kinds=asked.kinds
    )
    return json_answer(_as_json(changed))


async def remove(request: web.Request) -> web.Response:
    """204: from now on its `auth` alone is sent."""
    extra, gateway = parts(request)
    client, abonnement = await extra.asks_about_own(request, cost=COST)
    if abonnement.callback_auth is None:
        return web.Response(status=204)
    async with gateway.changes.one(client.client_id):
        if not abonnement.auth:
            raise ValidationError([InvalidParam(NON_FIELD, "invalid", NO_AUTH)])
        await _set(extra, gateway, abonnement, None)
    log.info("callback auth changed", abonnement=str(abonnement.uuid), client=client.client_id, kinds=())
    return web.Response(status=204)


async def _set(
    extra: Extra, gateway: Gateway, abonnement: Abonnement, wanted: CallbackAuth | None
) -> Abonnement:
    """Check the callback with it, and write it; one that was suspended or held goes on."""
    as_wanted = replace(abonnement, callback_auth=wanted)
    await check_callback_of(gateway.callbacks, as_wanted, settings=gateway.settings)
    return await extra.change(abonnement, callback_auth=wanted, **RESUMED)


def _as_json(abonnement: Abonnement) -> dict[str, Any]:
    return without_secrets(abonnement.callback_auth)
