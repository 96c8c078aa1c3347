"""Why a notificatie comes to an abonnement, or not: of one that was accepted, or is to be sent still.

The sentences are those of `nrc explain` and `nrc match`, told to a consumer: never another's abonnement, the
source, or the value that did not match.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from aiohttp import web

from extra.asking import parts
from extra.missed import content_of, facts_of, urls_of
from gateway.api.checks import message_faults
from gateway.http.requests import read_body, read_query
from gateway.http.responses import json_answer
from ledger.explaining import Clock, Explanation, fit_of, unknown
from ledger.explaining.account import Told
from ledger.explaining.dutch import failure as in_dutch
from ledger.values import verdict
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.application import Scope
from schemas.errors import NotFound, ValidationError
from schemas.events.event import check_event, is_event
from schemas.events.mapping import EventMapping
from schemas.fields import EVENTS
from schemas.kanaal import Kanaal
from schemas.notificatie import read_notificatie


async def explain_accepted(request: web.Request) -> web.Response:
    """200 with why an own abonnement got a notificatie, gets it later, or does not get it."""
    extra, _ = parts(request)
    client, abonnement = await extra.asks_about_own(request)
    id_ = UUID(request.match_info["notificatie"])
    async with extra.ledger(client) as ledger:
        account = extra.account(ledger)
        notificatie = await ledger.notificatie(id_)
        if notificatie is None:
            oldest, gaps = await account.oldest(), await account.incomplete()
            raise NotFound(unknown(account.clock, oldest=oldest, incomplete=gaps, by="dit id").text)
        told = await account.of_abonnement(notificatie, abonnement.uuid)
    rows = [each.delivery for each in told if each.delivery is not None]
    return json_answer(
        {
            # Of what was not for it, no more than that it was there.
            "notificatie": {
                **facts_of(notificatie),
                **urls_of(notificatie.body),
                **_details_of(notificatie.body),
            }
            if rows
            else {"id": str(id_), "received": Clock.utc(notificatie.received)},
            "state": verdict(rows).state.value if rows else None,
            "deliveries": [_facts(each) for each in told if each.delivery is not None],
            "uitleg": [_explained(each.explanation) for each in told],
        }
    )


async def explain_message(request: web.Request) -> web.Response:
    """200 with which own abonnementen would get this notificatie now, and why not the others."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    read_query(request)
    async with extra.turns.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        catalogue = gateway.catalogue
        await catalogue.fresh_look()
        own = [each for each in catalogue.everyone.values() if each.client_id == client.client_id]

        def look() -> list[dict[str, Any]]:
            naam, kenmerken = checked(gateway.settings, catalogue.kanalen, body)
            filters = catalogue.kanalen[naam].filters
            return [_fits(each, naam, kenmerken, filters, catalogue.mappings) for each in own]

        found = await gateway.large_bodies(len(body), look)
    return json_answer({"abonnementen": sorted(found, key=lambda each: not each["matches"])})


def checked(settings: Settings, kanalen: Mapping[str, Kanaal], body: bytes) -> tuple[str, dict[str, str]]:
    """The kanaal and kenmerken, after the checks of POST /notificaties, or for an event of /cloudevents.

    Raises ParseError and ValidationError.
    """
    leeway = timedelta(seconds=settings.time_leeway)
    data, notificatie, faults = read_notificatie(body, now=datetime.now(UTC), leeway=leeway)
    if is_event(data):
        event, faults = check_event(body, data)
        if event is None:
            raise ValidationError(faults)
        return EVENTS, dict(event.values)
    faults += message_faults(data, kanalen)
    if notificatie is None or faults:
        raise ValidationError(faults)
    return notificatie.kanaal, {**notificatie.kenmerken, **notificatie.attributes}


def _fits(
    abonnement: Abonnement,
    naam: str,
    kenmerken: Mapping[str, str],
    filters: tuple[str, ...],
    mappings: Mapping[str, EventMapping],
) -> dict[str, Any]:
    """Whether it is for this abonnement. With the value that differs: it is the asker's own."""
    found = fit_of(abonnement, naam, kenmerken, filters=filters, mappings=mappings)
    return {
        "abonnement": str(abonnement.uuid),
        "state": abonnement.state.value,
        "matches": found.matches,
        "code": found.reason.code,
        "text": found.reason.text,
    }


def _facts(told: Told) -> dict[str, Any]:
    delivery = told.delivery
    assert delivery is not None  # noqa: S101 - chosen by that
    return {
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "at": Clock.utc(delivery.last_at),
        "nextAt": Clock.utc(delivery.next_at),
        "status": delivery.status,
        "ms": delivery.ms,
        "replay": delivery.key.replay or None,
        "failures": [
            {
                "attempt": each.number,
                "at": Clock.utc(each.at),
                "status": each.status,
                "ms": each.ms,
                "text": in_dutch(each.kind, "", each.status),
            }
            for each in told.attempts
        ],
    }


def _details_of(body: bytes | None) -> dict[str, Any]:
    """aanmaakdatum and kenmerken, as long as the body is kept."""
    content = content_of(body)
    kenmerken = content.get("kenmerken", {} if content else None)
    return {
        "aanmaakdatum": content.get("aanmaakdatum"),
        "kenmerken": kenmerken if isinstance(kenmerken, dict) else None,
    }


def _explained(explanation: Explanation) -> dict[str, Any]:
    return {
        "code": explanation.code,
        "text": explanation.text,
        "matches": None if explanation.fit is None else explanation.fit.matches,
    }
