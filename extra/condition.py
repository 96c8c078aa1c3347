"""GET /abonnement and GET /abonnement/{uuid}/status: which are one's own, and how one is doing."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from extra.asking import moment, parts
from extra.pull.abonnementen import as_json
from gateway.http.requests import read_query
from gateway.http.responses import json_answer, json_list
from ledger.explaining import Clock, Reader
from ledger.explaining.dutch import held_because
from ledger.explaining.states import suspended_because
from ledger.ledger import Ledger
from ledger.values import Backlog, State, verdict
from schemas.abonnement import Abonnement
from schemas.abonnement import State as Condition
from schemas.application import Scope
from store.state_since import state_since

PAGE, PAGES = 500, 10  # undeliverable deliveries that are gone through for a count
MOST_COUNTED = 1000


async def list_own(request: web.Request) -> web.Response:
    """200 with the abonnementen of this application, without their `auth`."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    read_query(request)
    await gateway.catalogue.fresh_look()
    every = list(gateway.catalogue.everyone.values())
    return json_list(as_json(extra, request, each) for each in every if each.client_id == client.client_id)


async def read_status(request: web.Request) -> web.Response:
    """200 with the state of an own abonnement, what waits for it, and what went wrong last."""
    extra, gateway = parts(request)
    client, abonnement = await extra.asks_about_own(request)
    failure = (await gateway.registry.last_failures()).get(abonnement.uuid)
    since = await state_since(gateway.registry, abonnement, failure)
    async with extra.ledger(client) as ledger:
        waiting = (await ledger.backlogs(abonnement.uuid)).get(abonnement.uuid, Backlog())
        delivered = await ledger.last_delivered(abonnement.uuid)
        undeliverable = await _undeliverable(ledger, abonnement.uuid)
    path = f"abonnement/{abonnement.uuid}/notificaties?status=undeliverable"
    return json_answer(
        {
            "abonnement": as_json(extra, request, abonnement)["url"],
            "state": abonnement.state,
            "since": moment(since),
            "reason": _reason(abonnement),
            "nextProbe": moment(abonnement.hold.next_probe if abonnement.hold else None),
            "waiting": waiting.in_queue,
            "retrying": waiting.retrying,
            "stuck": waiting.stuck,
            "undeliverable": undeliverable,
            "undeliverableUrl": extra.url(request, path),
            "bytes": waiting.size,
            "oldest": Clock.utc(waiting.oldest),
            "nextRetry": Clock.utc(waiting.next_at),
            "lastError": {"at": moment(failure.at), "text": held_because(failure.detail)}
            if failure
            else None,
            "lastDelivered": Clock.utc(delivered),
        }
    )


async def _undeliverable(ledger: Ledger, abonnement: UUID) -> int:
    """How many did not come and do not come by themselves, at most MOST_COUNTED; what came since is none."""
    found: set[UUID] = set()
    after = None
    for _ in range(PAGES):
        page = await ledger.undeliverable(abonnement=abonnement, limit=PAGE, after=after)
        for id_, rows in (await ledger.deliveries([*{each.key.notificatie: None for each in page}])).items():
            own = [row for row in rows if row.key.abonnement == abonnement]
            if own and verdict(own).state is State.UNDELIVERABLE:
                found.add(id_)
        if len(page) < PAGE or len(found) >= MOST_COUNTED:
            break
        after = page[-1].key
    return min(len(found), MOST_COUNTED)


def _reason(abonnement: Abonnement) -> str | None:
    """Why nothing is sent to it now, in Dutch; what an operator wrote is for operators."""
    if abonnement.hold is not None:
        return held_because(abonnement.state_reason)
    if abonnement.state is Condition.SUSPENDED:
        return suspended_because(abonnement.state_reason, Reader.CONSUMER)
    return None
