"""POST /callbacks: the notificaties of another NRC, to which the Autorisaties API publishes.

Those on kanaal autorisaties count as if they had been published here; they are delivered to nobody. Others
are taken and ignored: the test message of that NRC is one. Only there where NRC_AC_URL is set.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web

from gateway.autorisaties.notices import KANAAL
from gateway.http.requests import must_accept_json, read_body, read_query
from gateway.state import API_ROOT, GATEWAY
from runtime.log import logger, without_secrets
from schemas.application import Scope
from schemas.errors import ValidationError
from schemas.notificatie import read_notificatie

PATH = f"{API_ROOT}/callbacks"

log = logger(__name__)


async def take_callback(request: web.Request) -> web.Response:
    """204. Raises ParseError, or ValidationError with every fault."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.PUBLICEREN)
    read_query(request)
    body = await read_body(request, limit=gateway.settings.max_body)
    leeway = timedelta(seconds=gateway.settings.time_leeway)
    _, notificatie, faults = read_notificatie(body, now=datetime.now(UTC), leeway=leeway)
    if notificatie is None:
        raise ValidationError(faults)
    if gateway.notices is not None and notificatie.kanaal == KANAAL:
        gateway.notices.take(notificatie.hoofd_object, notificatie.actie)
    log.info(
        "callback taken",
        client=client.client_id,
        kanaal=notificatie.kanaal,
        hoofdObject=without_secrets(notificatie.hoofd_object),
        actie=notificatie.actie,
    )
    return web.Response(status=204)
