"""GET /abonnement/{uuid}/notificaties: what an abonnement did not get (yet), in pages.

Only deliveries to this abonnement: what matched it when it was accepted.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any
from uuid import UUID

from aiohttp import web
from yarl import URL

from extra.asking import asked_moment, parts
from gateway.http.requests import read_query
from gateway.http.responses import json_answer
from ledger.explaining import Clock
from ledger.explaining.dutch import failure as in_dutch
from ledger.ledger import Ledger
from ledger.values import OPEN, Delivery, Notificatie, Search, State
from schemas.application import Scope
from schemas.errors import InvalidParam, ParseError, ValidationError
from schemas.jsontext import read_json

MISSED = frozenset(State) - {State.DELIVERED, State.NOT_WANTED}
"""What is told of when nothing is asked: what is still to come, and what will not come by itself."""
PAGE, MOST = 50, 100  # notificaties of one page, by default and at most

_GROUPS = (OPEN, frozenset(State) - OPEN - {State.DELIVERED}, frozenset({State.DELIVERED}))
"""Each of these is found by an index of its own; all together only by looking at what was delivered too."""


async def list_missed(request: web.Request) -> web.Response:
    """200 with a page of deliveries to an own abonnement, the newest notificatie first."""
    extra, _ = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    abonnement = await extra.own(request, client)
    query = read_query(request, known=("status", "since", "limit", "cursor"))
    asked = _Asked(query)
    async with extra.ledger(client) as ledger:
        page = await _page(ledger, asked, abonnement.uuid)
        rows = await ledger.deliveries([each.id for each in page])
        told = [
            await _tell(ledger, each, row)
            for each in page
            for row in _shown([row for row in rows[each.id] if row.key.abonnement == abonnement.uuid], asked)
        ]
    following = None
    if len(page) == asked.limit:
        rest = {**query, "cursor": str(page[-1].id)}
        following = extra.url(request, f"abonnement/{abonnement.uuid}/notificaties?{_encoded(rest)}")
    return json_answer({"notificaties": told, "next": following})


class _Asked:
    """The query. Raises ValidationError with every fault of it."""

    def __init__(self, query: Mapping[str, str]) -> None:
        faults: list[InvalidParam] = []
        self.explicit = "status" in query
        self.states = MISSED
        if self.explicit:
            try:
                self.states = states_of(query["status"].split(","), name="status")
            except ValidationError as error:
                faults += error.invalid_params
        self.since: int | None = None
        if "since" in query:
            try:
                self.since = asked_moment("since", query["since"])
            except ValidationError as error:
                faults += error.invalid_params
        self.limit = PAGE
        text = query.get("limit", str(PAGE))
        if text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MOST and len(text) <= 3:
            self.limit = int(text)
        else:
            faults.append(InvalidParam("limit", "invalid", f"limit is een getal van 1 tot en met {MOST}."))
        self.cursor: UUID | None = None
        if "cursor" in query:
            try:
                self.cursor = UUID(query["cursor"])
            except ValueError:
                reason = "Neem de cursor over uit next van de vorige bladzijde."
                faults.append(InvalidParam("cursor", "invalid", reason))
        if faults:
            raise ValidationError(faults)


def states_of(texts: Sequence[str], *, name: str) -> frozenset[State]:
    """The states that these name. Raises ValidationError."""
    known = {state.value: state for state in State}
    unknown = [text for text in texts if text not in known]
    if unknown or not texts:
        reason = f"Dit is een of meer van: {', '.join(known)}."
        raise ValidationError([InvalidParam(name, "invalid", reason)])
    return frozenset(known[text] for text in texts)


async def _page(ledger: Ledger, asked: _Asked, abonnement: UUID) -> list[Notificatie]:
    """The next notificaties, the newest first."""
    found = [
        await ledger.search(
            Search(abonnement=abonnement, states=asked.states & group, after=asked.since),
            limit=asked.limit,
            after=asked.cursor,
        )
        for group in _GROUPS
        if asked.states & group
    ]
    page: dict[UUID, Notificatie] = {}
    for each in heapq.merge(*found, key=lambda each: each.id.bytes, reverse=True):
        page.setdefault(each.id, each)
        if len(page) == asked.limit:
            break
    return list(islice(page.values(), asked.limit))


def _shown(rows: Sequence[Delivery], asked: _Asked) -> list[Delivery]:
    """Those in the states that were asked for; unasked, not of what was delivered by a replay."""
    if not asked.explicit and any(row.state is State.DELIVERED for row in rows):
        return []
    return [row for row in rows if row.state in asked.states]


async def _tell(ledger: Ledger, notificatie: Notificatie, row: Delivery) -> dict[str, Any]:
    whole = await ledger.notificatie(notificatie.id)
    failures = [each for each in await ledger.attempts(row.key) if each.number]
    last = failures[-1] if failures else None
    return {
        **facts_of(notificatie),
        **urls_of(whole.body if whole else None),
        "state": row.state.value,
        "attempts": row.attempts,
        "at": Clock.utc(row.last_at),
        "nextAt": Clock.utc(row.next_at),
        "replay": row.key.replay or None,
        "lastFailure": None
        if last is None
        else {
            "at": Clock.utc(last.at),
            "attempt": last.number,
            "status": last.status,
            "text": in_dutch(last.kind, "", last.status),
        },
    }


def facts_of(notificatie: Notificatie) -> dict[str, Any]:
    """What was accepted, but for who published it."""
    return {
        "id": str(notificatie.id),
        "received": Clock.utc(notificatie.received),
        "kanaal": notificatie.kanaal,
        "resource": notificatie.resource,
        "actie": notificatie.actie,
    }


def urls_of(body: bytes | None) -> dict[str, str | None]:
    """hoofdObject and resourceUrl, as long as the body is kept."""
    content: Any = None
    with suppress(ParseError):
        content = None if body is None else read_json(body)
    if not isinstance(content, dict):
        content = {}
    return {name: content.get(name) for name in ("hoofdObject", "resourceUrl")}


def _encoded(query: Mapping[str, str]) -> str:
    return URL.build(query=query).raw_query_string
