"""GET /abonnement/{uuid}/notificaties: what an abonnement did not get (yet), in pages.

Only what matched this abonnement when it was accepted; each with what became of it after all, so that one
which a replay delivered is delivered.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from aiohttp import web
from yarl import URL

from extra.asking import NO_MOMENT, moment_of, parts
from gateway.http.requests import read_query
from gateway.http.responses import json_answer
from ledger.explaining import Clock
from ledger.explaining.dutch import failure as in_dutch
from ledger.ledger import Ledger
from ledger.values import OPEN, Delivery, Notificatie, Search, State, verdict
from schemas.application import Scope
from schemas.errors import InvalidParam, LedgerError, ParseError, ValidationError
from schemas.jsontext import read_json

MISSED = frozenset(State) - {State.DELIVERED, State.NOT_WANTED}
"""What is told of when nothing is asked: what is still to come, and what will not come by itself."""
PAGE, MOST = 50, 100  # notificaties of one page, by default and at most
AT_ONCE = 200  # notificaties that are looked at together for it
LONGEST = 4.0  # seconds that are spent on one page
KNOWN = ("status", "since", "until", "hoofdObject", "resourceUrl", "limit", "cursor")
NO_STATE = f"Dit is een of meer van: {', '.join(State)}."

T = TypeVar("T")

_GROUPS = (OPEN, frozenset(State) - OPEN - {State.DELIVERED}, frozenset({State.DELIVERED}))
"""Each of these is found by an index of its own; all together only by looking at what was delivered too."""


async def list_missed(request: web.Request) -> web.Response:
    """200 with a page of notificaties for an own abonnement, the newest first, and what became of each."""
    extra, _ = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    abonnement = await extra.own(request, client)
    query = read_query(request, known=KNOWN, several=("status",))
    asked = _Asked(query)
    async with extra.ledger(client) as ledger:
        page, more = await _page(ledger, asked, abonnement.uuid)
        told = [await _tell(ledger, each, row) for each, row in page]
    following = None
    if more is not None:
        rest = {**query, "cursor": str(more)}
        following = extra.url(request, f"abonnement/{abonnement.uuid}/notificaties?{_encoded(rest)}")
    return json_answer({"notificaties": told, "next": following})


class _Asked:
    """The query. Raises ValidationError with every fault of it."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._faults: list[InvalidParam] = []
        self.states = MISSED
        if "status" in query:
            self.states = states_of(query["status"].split(",")) or self._fault("status", NO_STATE, MISSED)
        moments = {name: moment_of(query[name]) for name in ("since", "until") if name in query}
        for name, at in moments.items():
            if at is None:
                self._fault(name, NO_MOMENT, None)
        since, until = moments.get("since"), moments.get("until")
        if since is not None and until is not None and until <= since:
            self._fault("until", "Dit moment ligt niet na since.", None)
        texts = {name: query[name].strip() for name in ("hoofdObject", "resourceUrl") if name in query}
        for name, text in texts.items():
            if not text:
                self._fault(name, "Geef een URL, of het laatste deel ervan.", None)
        self.search = Search(
            after=moments.get("since"),
            before=moments.get("until"),
            hoofd_object=texts.get("hoofdObject"),
            resource_url=texts.get("resourceUrl"),
        )
        self.limit = PAGE
        text = query.get("limit", str(PAGE))
        if text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MOST and len(text) <= 3:
            self.limit = int(text)
        else:
            self._fault("limit", f"limit is een getal van 1 tot en met {MOST}.", None)
        self.cursor: UUID | None = None
        if "cursor" in query:
            try:
                self.cursor = UUID(query["cursor"])
            except ValueError:
                self._fault("cursor", "Neem de cursor over uit next van de vorige bladzijde.", None)
        if self._faults:
            raise ValidationError(self._faults)

    def _fault(self, name: str, reason: str, instead: T) -> T:
        self._faults.append(InvalidParam(name, "invalid", reason))
        return instead


def states_of(texts: Sequence[str]) -> frozenset[State] | None:
    """The states that these name; None when one is none, or there is none."""
    known = {state.value: state for state in State}
    return frozenset(known[text] for text in texts) if texts and known.keys() >= set(texts) else None


async def _page(
    ledger: Ledger, asked: _Asked, abonnement: UUID
) -> tuple[list[tuple[Notificatie, Delivery]], UUID | None]:
    """(the next notificaties, the newest first, each with its verdict; after which there are more).

    What has a delivery in a state that is asked for, but came by another one, is not among them. Raises
    LedgerError when so many of these are gone through that it takes too long.
    """
    page: list[tuple[Notificatie, Delivery]] = []
    after, until = asked.cursor, monotonic() + LONGEST
    while found := await _next(ledger, asked, abonnement, after=after):
        rows = await ledger.deliveries([each.id for each in found])
        for each in found:
            own = [row for row in rows.get(each.id, ()) if row.key.abonnement == abonnement]
            if own and (row := verdict(own)).state in asked.states:
                if len(page) == asked.limit:
                    return page, page[-1][0].id
                page.append((each, row))
        after = found[-1].id
        if len(found) < AT_ONCE:
            break
        if monotonic() > until:
            if page:
                return page, after
            raise LedgerError(f"nothing found in {LONGEST:g} s")
    return page, None


async def _next(ledger: Ledger, asked: _Asked, abonnement: UUID, *, after: UUID | None) -> list[Notificatie]:
    """Notificaties that have a delivery in a state that is asked for, the newest first, at most AT_ONCE."""
    found = [
        await ledger.search(
            replace(asked.search, abonnement=abonnement, states=asked.states & group),
            limit=AT_ONCE,
            after=after,
        )
        for group in _GROUPS
        if asked.states & group
    ]
    every = {each.id: each for each in heapq.merge(*found, key=lambda each: each.id.bytes, reverse=True)}
    return list(every.values())[:AT_ONCE]


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
    content = content_of(body)
    return {name: content.get(name) for name in ("hoofdObject", "resourceUrl")}


def content_of(body: bytes | None) -> dict[str, Any]:
    """A body as a JSON object; empty when it is not kept, or is none."""
    content: Any = None
    with suppress(ParseError):
        content = None if body is None else read_json(body)
    return content if isinstance(content, dict) else {}


def _encoded(query: Mapping[str, str]) -> str:
    return URL.build(query=query).raw_query_string
