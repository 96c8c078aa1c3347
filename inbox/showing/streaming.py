"""What is new in an inbox, as server-sent events: rows for its list, as its page has them, and its counts."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from inbox.inboxes import Inbox, Inboxes
from inbox.showing.pages import row_html
from inbox.state import INBOXES, inbox_of, only, query_of, whole_number
from schemas.errors import NotFound

PING = 15.0  # seconds between two signs of life
MAX_AT_ONCE = 100
"""Rows that one who was away gets; for more the page is loaded anew."""


async def stream(request: web.Request) -> web.StreamResponse:
    """Events until the client goes: `row` (its id is the number), `unread` (a count), `reload`.

    Rows begin after the number in Last-Event-ID, which a browser sends when it connects again, or `since`.
    """
    inbox, inboxes = inbox_of(request), request.app[INBOXES]
    since = whole_number(only(query_of(request), "since"), "since", 0, most=10**15 - 1)
    last = request.headers.get("Last-Event-ID", "")
    if last.isdecimal() and len(last) <= 15:
        since = max(since, int(last))
    with inboxes.waiting():
        response = EventSourceResponse(ping_interval=PING)
        await response.prepare(request)
        with suppress(ConnectionError, TimeoutError):
            await _tell(response, request, inbox, inboxes, since)
        return response


async def _tell(
    response: EventSourceResponse, request: web.Request, inbox: Inbox, inboxes: Inboxes, since: int
) -> None:
    emptied, unread = inbox.emptied, -1
    while not inboxes.stopped.is_set() and request.transport is not None:
        try:
            inboxes.find(inbox.id)
        except NotFound:
            await response.send("gone", event="reload")
            return
        new = inbox.since(since)
        if inbox.emptied != emptied or len(new) > MAX_AT_ONCE:
            await response.send("changed", event="reload")
            return
        for each in new:
            await response.send(row_html(inbox, each), event="row", id=str(each.number))
            since = each.number
        if len(inbox.unread) != unread:
            unread = len(inbox.unread)
            await response.send(str(unread), event="unread")
        elif not new:
            await inbox.news(PING)
