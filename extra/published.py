"""GET /notificaties/{id}: what became of a notificatie, for the application that published it.

How many deliveries it had and how these stand; never whose they are.
"""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from extra.asking import parts
from extra.missed import facts_of
from gateway.http.requests import read_query
from gateway.http.responses import json_answer
from ledger.values import OPEN, State
from schemas.application import Scope
from schemas.errors import NotFound


async def read_published(request: web.Request) -> web.Response:
    """200 with how many consumers got an own notificatie, get it later, or do not get it."""
    extra, _ = parts(request)
    client = await extra.asks(request, Scope.PUBLICEREN)
    id_ = UUID(request.match_info["notificatie"])
    async with extra.ledger(client) as ledger:
        notificatie = await ledger.notificatie(id_)
        if notificatie is None or notificatie.client != client.client_id:
            raise NotFound("Van deze applicatie is hier geen notificatie met dit id (meer) bekend.")
        read_query(request)
        outcomes = await ledger.outcomes(id_)
    return json_answer(
        {
            **facts_of(notificatie),
            "matched": sum(outcomes.values()),
            "delivered": outcomes.get(State.DELIVERED, 0),
            "waiting": sum(outcomes.get(state, 0) for state in OPEN),
            "undeliverable": outcomes.get(State.UNDELIVERABLE, 0),
            "notWanted": outcomes.get(State.NOT_WANTED, 0),
            "removed": outcomes.get(State.REMOVED, 0),
        }
    )
