"""POST /cloudevents: CloudEvents that sources publish as such, without a kanaal (NRC_CLOUDEVENTS).

An event is accepted as a notificatie is (gateway/accepting.py), on EVENTS in the place of a kanaal; its
source and id make it known when it is sent again (gateway/repeats.py). Which of the three forms of the HTTP
binding a request has, its Content-Type says alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from aiohttp import web

from gateway.accepting import entry_of
from gateway.api.publish import ID_HEADER, MATCHED_HEADER
from gateway.http.requests import accepts_json, hops_of, media_type_of, read_body, read_query
from gateway.http.responses import json_answer
from gateway.state import GATEWAY, Gateway
from gateway.tokens import Credentials
from router.matching.filters import matches
from router.routing import needed, route
from runtime.log import logger, without_secrets
from schemas.application import Scope
from schemas.errors import InvalidParam, NotAcceptable, UnsupportedMediaType, ValidationError
from schemas.events.binary import PREFIX, read_binary
from schemas.events.event import BATCH, STRUCTURED, Event
from schemas.events.structured import read_batch, read_structured
from schemas.kanaal import EVENTS_KANAAL
from schemas.notificatie import Notificatie

PATH = "/api/v1/cloudevents"
AT_ONCE = 20  # events of a batch that are accepted at the same time
_CLOUDEVENTS = "application/cloudevents"

log = logger(__name__)


class Accepted(NamedTuple):
    """What became of an event. matched: how many abonnementen it is for; None of a repeat."""

    id: UUID
    matched: int | None


async def create_cloudevent(request: web.Request) -> web.Response:
    """201 with the event as it will be delivered, 200 when it was accepted before; a batch: 200, a list.

    Of a batch all events are valid, or none is accepted. When one of them cannot be accepted the answer is a
    problem: the source sends all of them again, and those that were accepted are repeats then.
    """
    gateway = request.app[GATEWAY]
    _must_accept(request)
    client = await gateway.authorise(request, Scope.PUBLICEREN)
    read_query(request)
    hops = hops_of(request, most=gateway.settings.max_hops)
    is_batch, read = _form_of(request)
    limit = gateway.settings.max_body
    with gateway.publishes.one(client.client_id, size=min(request.content_length or 0, limit)) as came:
        body = await read_body(request, limit=limit, came=came, of_type=None)
        events, faults = await gateway.large_bodies(len(body), lambda: read(body))
        if faults:
            raise ValidationError(faults)
        accepted: list[Accepted] = []
        for first in range(0, len(events), AT_ONCE):
            some = events[first : first + AT_ONCE]
            accepted += await asyncio.gather(*(_accept(gateway, client, event, hops) for event in some))
    return _of_batch(events, accepted) if is_batch else _of_one(events[0], accepted[0])


def _must_accept(request: web.Request) -> None:
    asked = ",".join(request.headers.getall("Accept", ()))
    if asked and _CLOUDEVENTS not in asked.lower() and not accepts_json(asked):
        raise NotAcceptable(f"Hier wordt geantwoord met {STRUCTURED}, en op een batch met application/json.")


Read = Callable[[bytes], tuple[list[Event], list[InvalidParam]]]


def _form_of(request: web.Request) -> tuple[bool, Read]:
    """(whether it is a batch, what reads its body). Raises UnsupportedMediaType."""
    media_type = media_type_of(request)
    if media_type == BATCH:
        return True, read_batch
    if media_type == STRUCTURED:
        return False, lambda body: _one(*read_structured(body))
    has_attributes = any(name.lower().startswith(PREFIX) for name in request.headers)
    if media_type.startswith(_CLOUDEVENTS) or not has_attributes:
        raise UnsupportedMediaType(
            f"Stuur een event als {STRUCTURED}, meer events als {BATCH}, of de attributen in headers "
            f"{PREFIX}id, {PREFIX}source, {PREFIX}type en {PREFIX}specversion met de data als body."
        )
    headers, whole = [*request.headers.items()], request.headers.get("Content-Type", "")
    return False, lambda body: _one(*read_binary(headers, whole, body))


def _one(event: Event | None, faults: list[InvalidParam]) -> tuple[list[Event], list[InvalidParam]]:
    return [event] if event is not None else [], faults


async def _accept(gateway: Gateway, client: Credentials, event: Event, hops: int) -> Accepted:
    """Accept it, unless it is a repeat. Raises what `Accepting.accept` raises."""

    async def accept(id_: UUID) -> int:
        async with gateway.publishes.turns.one(client.client_id):
            return await _publish(gateway, client, event, id_, hops)

    id_, matched = await gateway.repeats.once(event, accept)
    if matched is None:
        log.info("event repeated", notificatie=str(id_), client=client.client_id, **_facts(event))
    return Accepted(id_, matched)


async def _publish(gateway: Gateway, client: Credentials, event: Event, id_: UUID, hops: int) -> int:
    """Bring it into RabbitMQ and the ledger. Returns how many abonnementen it is for."""
    now = datetime.now(UTC)
    notificatie = Notificatie(
        kanaal=EVENTS_KANAAL.naam,
        resource=event.type,
        actie="",
        kenmerken=needed(EVENTS_KANAAL, event.values, filtered=gateway.index.names(EVENTS_KANAAL.naam)),
        body=event.body,
        hoofd_object=event.about,
        resource_url=event.address,
    )
    message = route(EVENTS_KANAAL, notificatie, message_id=str(id_), accepted_at=now, hops=hops)
    # The index leaves types out of account.
    everyone = gateway.catalogue.everyone
    matched = tuple(
        uuid
        for uuid in gateway.index.matching(notificatie.kanaal, event.values)
        if uuid in everyone and matches(everyone[uuid], notificatie.kanaal, event.values)
    )
    entry = entry_of(
        notificatie,
        id_=id_,
        now=now,
        client=client.client_id,
        catalogue=gateway.catalogue.number,
        matched=matched,
        hops=hops,
    )
    homes = await gateway.accepting.accept(message, entry)
    log.info(
        "event accepted",
        notificatie=str(id_),
        client=client.client_id,
        matched=len(matched),
        homes=homes.value,
        **_facts(event),
    )
    return len(matched)


def _facts(event: Event) -> dict[str, str]:
    return {"source": without_secrets(event.source), "eventId": event.id, "type": event.type}


def _of_one(event: Event, accepted: Accepted) -> web.Response:
    headers = {"Content-Type": STRUCTURED, ID_HEADER: str(accepted.id)}
    if accepted.matched is not None:
        headers[MATCHED_HEADER] = str(accepted.matched)
    status = 200 if accepted.matched is None else 201
    return web.Response(body=event.body, status=status, headers=headers)


def _of_batch(events: list[Event], accepted: list[Accepted]) -> web.Response:
    return json_answer(
        [
            {
                "source": event.source,
                "id": event.id,
                "notificatie": str(each.id),
                "status": "repeated" if each.matched is None else "accepted",
            }
            for event, each in zip(events, accepted, strict=True)
        ]
    )


async def allow(request: web.Request) -> web.Response:
    """200: whoever asks may send events here, with a token (HTTP 1.1 Web Hooks for CloudEvents, 4)."""
    headers = {"Allow": "POST, OPTIONS"}
    if request.headers.get("WebHook-Request-Origin"):
        headers |= {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*"}
    return web.Response(status=200, headers=headers)
