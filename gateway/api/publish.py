"""The hot path: POST /notificaties. Authorise, read, check, match, route, accept, and only then 201.

`gateway/accepting.py` brings it into RabbitMQ and the ledger. No locks, and no database is read.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from aiohttp import web

from gateway.accepting import entry_of
from gateway.api.checks import message_faults
from gateway.api.passing_on import facts_of, passed_on_of, with_ids
from gateway.autorisaties.notices import KANAAL
from gateway.http.requests import hops_of, must_accept_json, read_body, read_query
from gateway.http.responses import json_answer
from gateway.state import GATEWAY, Gateway
from ledger.ids import new_id
from router.matching.filters import names_fit
from router.routing import needed, route
from runtime.log import logger, without_secrets
from schemas.application import Scope
from schemas.errors import InvalidParam, ValidationError
from schemas.kanaal import Kanaal
from schemas.notificatie import Notificatie, read_notificatie

ID_HEADER = "nrc-notificatie-id"
MATCHED_HEADER = "nrc-matched"

log = logger(__name__)


async def create_notificatie(request: web.Request) -> web.Response:
    """201 with the message as it will be delivered: RabbitMQ has confirmed it, or the ledger has it."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    client = await gateway.authorise(request, Scope.PUBLICEREN)
    read_query(request)
    hops = hops_of(request, most=gateway.settings.max_hops)
    limit = gateway.settings.max_body
    announced = min(request.content_length or 0, limit)
    with gateway.publishes.one(client.client_id, size=announced) as came:
        body = await read_body(request, limit=limit, came=came)
        async with gateway.publishes.turns.one(client.client_id):
            now = datetime.now(UTC)
            kanaal, notificatie = await _check(gateway, body, now=now)
            id_ = new_id(at=now.timestamp())
            message_id = str(id_)
            passed_on = passed_on_of(request, gateway.settings)
            filtered = gateway.index.names(kanaal.naam)
            message = route(
                kanaal, notificatie, message_id=message_id, accepted_at=now, hops=hops, filtered=filtered
            )
            # By this process's copy of the registry. Held and suspended ones count: their queues keep it.
            matched = gateway.index.matching(kanaal.naam, notificatie.kenmerken, notificatie)
            entry = entry_of(
                notificatie,
                id_=id_,
                now=now,
                client=client.client_id,
                catalogue=gateway.catalogue.number,
                matched=matched,
                hops=hops,
                passed_on=passed_on,
            )
            if passed_on is not None:
                message = with_ids(message, passed_on)
            homes = await gateway.accepting.accept(message, entry)
    if gateway.notices is not None and kanaal.naam == KANAAL:
        gateway.notices.take(notificatie.hoofd_object, notificatie.actie)
    log.info(
        "accepted",
        notificatie=message_id,
        kanaal=kanaal.naam,
        client=client.client_id,
        hoofdObject=without_secrets(notificatie.hoofd_object),
        resource=notificatie.resource,
        actie=notificatie.actie,
        matched=len(matched),
        homes=homes.value,
        **({} if passed_on is None else facts_of(passed_on)),
    )
    headers = {ID_HEADER: message_id, MATCHED_HEADER: str(len(matched))}
    return json_answer(notificatie.body, status=201, headers=headers)


async def _check(gateway: Gateway, body: bytes, *, now: datetime) -> tuple[Kanaal, Notificatie]:
    """The kanaal and the valid notificatie. Raises ParseError, or ValidationError with every fault."""
    kanalen = gateway.catalogue.kanalen
    leeway = timedelta(seconds=gateway.settings.time_leeway)

    def look() -> tuple[tuple[Kanaal, Notificatie] | None, list[InvalidParam], list[InvalidParam]]:
        # The parsed data is many times as large as the body; it is freed when this returns.
        data, notificatie, faults = read_notificatie(body, now=now, leeway=leeway)
        if notificatie is not None:
            kanaal = kanalen.get(notificatie.kanaal)
            if kanaal is not None and names_fit(notificatie.kenmerken, kanaal.filters):
                kept = needed(kanaal, notificatie.kenmerken, filtered=gateway.index.names(kanaal.naam))
                return (kanaal, replace(notificatie, kenmerken=kept)), [], []
        return None, faults, message_faults(data, kanalen)

    sound, faults, of_kanaal = await gateway.large_bodies(len(body), look)
    if sound is None and (of_kanaal or not faults):
        await gateway.catalogue.fresh_look()  # the copy may be old: read the registry before a refusal
        sound, faults, of_kanaal = await gateway.large_bodies(len(body), look)
    if sound is None:
        raise ValidationError(faults + of_kanaal)
    return sound
