"""GET /abonnement/{uuid}/pull, which may wait until there is something, and POST …/pull/ack."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from extra.asking import parts
from extra.pull.cursors import MOST, handed_of
from extra.pull.handing_out import acknowledged, page_json, waiting_for
from extra.pull.waiting import something_within
from gateway.http.requests import read_query
from gateway.http.responses import json_answer
from schemas.application import Scope
from schemas.errors import InvalidParam, LedgerError, ServiceUnavailable, ValidationError
from schemas.fields import AnyNaam

LONGEST_WAIT = 30  # seconds; less than what proxies wait for an answer
TURN = 0.5  # seconds between two looks at whether this gateway stops
COMMIT_WITHIN = 5.0  # seconds
RETRY_AFTER = 2  # seconds


class Acknowledged(BaseModel):
    """The body of an acknowledgement."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cursor: AnyNaam


async def fetch(request: web.Request) -> web.Response:
    """200 with the oldest that wait for an own abonnement, and the cursor that acknowledges them.

    With `wait` it waits for so many seconds while there is nothing; then the list is empty.
    """
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    abonnement = await extra.own_pulled(request, client)
    limit, wait = _asked(read_query(request, known=("limit", "wait")))
    until = monotonic() + wait
    with extra.waiting.one(client.client_id, abonnement.uuid) as event:
        while True:
            async with extra.ledger(client) as ledger:
                items = await waiting_for(ledger, abonnement.uuid, limit=limit)
            while not items and (left := until - monotonic()) > 0 and not gateway.stopping:
                if await something_within(event, min(left, TURN)):
                    break
            else:
                return json_answer(page_json(items))
            # Meanwhile its rights may have been withdrawn, or the abonnement removed.
            await gateway.authorise(request, Scope.CONSUMEREN)
            await extra.own_pulled(request, client)


async def acknowledge(request: web.Request) -> web.Response:
    """204: what came with this cursor is delivered, durably, and is not handed out again."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    abonnement = await extra.own_pulled(request, client)
    read_query(request)
    asked = await extra.body(request, Acknowledged)
    try:
        handed = handed_of(asked.cursor)
    except ValueError:
        reason = "Neem de cursor over uit het antwoord waarmee de notificaties kwamen."
        raise ValidationError([InvalidParam("cursor", "invalid", reason)]) from None
    async with extra.ledger(client) as ledger:
        outcomes = await acknowledged(ledger, abonnement.uuid, handed)
    if outcomes:
        try:
            # In the gateway's own commits, many in one, rather than in a transaction beside them.
            await gateway.writer.add(*outcomes, within=COMMIT_WITHIN)
        except LedgerError as error:
            raise ServiceUnavailable(
                "Het grootboek kan dit nu niet vastleggen; bevestig het zo opnieuw.", retry_after=RETRY_AFTER
            ) from error
    return web.Response(status=204)


def _asked(query: Mapping[str, str]) -> tuple[int, int]:
    """(limit, wait). Raises ValidationError."""
    faults = []
    numbers = {"limit": MOST, "wait": 0}
    for name, least, most in (("limit", 1, MOST), ("wait", 0, LONGEST_WAIT)):
        text = query.get(name, str(numbers[name]))
        if text.isascii() and text.isdecimal() and len(text) <= 3 and least <= int(text) <= most:
            numbers[name] = int(text)
        else:
            reason = f"{name} is een getal van {least} tot en met {most}."
            faults.append(InvalidParam(name, "invalid", reason))
    if faults:
        raise ValidationError(faults)
    return numbers["limit"], numbers["wait"]
