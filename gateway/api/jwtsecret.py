"""POST /jwtsecret: the token issuer registers an application, whose scopes are in the Autorisaties API.

No part of the standard: its implementations have it for the token issuer, hidden. Only there where
NRC_TOKEN_ISSUER names the one application that may, and it changes none that is registered already.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from aiohttp import web
from pydantic import BaseModel

from gateway.http.requests import must_accept_json, read_body, read_query
from gateway.http.responses import json_answer
from gateway.state import API_ROOT, GATEWAY
from runtime.log import logger
from schemas.application import MAX_CLIENT_ID, Application, is_client_id
from schemas.errors import (
    BrokerUnavailable,
    Conflict,
    InvalidParam,
    PermissionDenied,
    RegistryError,
    ValidationError,
)
from schemas.fields import AnyNaam, parse
from schemas.jsontext import read_json
from store.registry import Act

PATHS = (f"{API_ROOT}/jwtsecret", f"{API_ROOT}/jwtsecret/")
LABEL = "aangemeld door de token issuer"
TAKEN = InvalidParam("identifier", "unique", "Er is al een applicatie met dit client-id.")

log = logger(__name__)


class JwtSecret(BaseModel):
    """What is asked for."""

    identifier: AnyNaam
    secret: AnyNaam


async def register(request: web.Request) -> web.Response:
    """201 with the identifier; the secret is not repeated. Raises PermissionDenied, ValidationError."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.identify(request)
    if client.client_id != gateway.settings.token_issuer:
        raise PermissionDenied("Alleen de token issuer mag hier applicaties aanmelden.")
    read_query(request)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        asked, faults = parse(JwtSecret, read_json(body))
        if asked is not None and not is_client_id(asked.identifier):
            reason = f"Een client-id heeft 1 tot {MAX_CLIENT_ID} zichtbare tekens."
            faults = [InvalidParam("identifier", "invalid", reason)]
        if asked is None or faults:
            raise ValidationError(faults)
        try:
            await gateway.registry.add_application(
                Application(asked.identifier, asked.secret, LABEL, scopes_from_ac=True)
            )
        except Conflict:
            raise ValidationError([TAKEN]) from None
    log.info("application registered", application=asked.identifier, client=client.client_id)
    by = client.client_id
    facts = {"application": asked.identifier, "scopes": "from the Autorisaties API", "label": LABEL}
    act = Act(time.time(), "application added", "jwtsecret", by, "", socket.gethostname(), facts)
    with suppress(RegistryError, BrokerUnavailable):  # it is registered; others hear of it a little later
        await gateway.registry.note_acts([act])
        await gateway.catalogue.refresh()
        await gateway.router.announce()
    return json_answer({"identifier": asked.identifier}, status=201)
