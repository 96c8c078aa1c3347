"""The JSON API for tests: make an inbox, ask or wait for what came in, set how it answers, empty it."""

from __future__ import annotations

import base64
import re
import time
from typing import Any

import orjson
from aiohttp import web

from inbox.behaviour import Behaviour, as_json, read_behaviour
from inbox.inboxes import Inbox, Inboxes
from inbox.received import Received
from inbox.state import INBOXES, inbox_of, must_be_our_page, only, query_of, root_of, whole_number
from ledger.explaining.dutch import Clock
from schemas.errors import InvalidParam, NotFound, ParseError, ValidationError

MAX_WAIT = 60  # seconds of a long poll
MAX_PAGE = 500
MAX_SETTINGS = 64 * 1024  # bytes of a body with settings


async def make(request: web.Request) -> web.Response:
    """201 with the addresses of a new inbox. Settings come as JSON, or in the query."""
    must_be_our_page(request)
    behaviour = read_behaviour(query_of(request), Behaviour())
    behaviour = read_behaviour(await _settings(request), behaviour)
    made = request.app[INBOXES].make(behaviour)
    url = f"{root_of(request)}/inbox/{made.id}"
    return _json({"id": made.id, **_addresses(url)}, status=201, headers={"Location": url})


def _addresses(url: str) -> dict[str, str]:
    return {
        "callbackUrl": url,
        "page": url,
        "requests": f"{url}/requests",
        "settings": f"{url}/settings",
    }


async def requests(request: web.Request) -> web.Response:
    """What came in after `since`, the oldest first; with `wait` it waits for the first, so many seconds."""
    inbox, inboxes = inbox_of(request), request.app[INBOXES]
    query = only(query_of(request), "since", "limit", "wait")
    since = whole_number(query, "since", 0, most=10**15 - 1)
    limit = whole_number(query, "limit", 100, most=MAX_PAGE)
    wait = whole_number(query, "wait", 0, most=MAX_WAIT)
    if wait and inbox.last <= since:
        with inboxes.waiting():
            await _until(inbox, inboxes, since=since, wait=wait, request=request)
    found = inbox.since(since)
    url = f"{root_of(request)}/inbox/{inbox.id}"
    return _json(
        {
            "requests": [as_told(each, url=url) for each in found[:limit]],
            "next": found[:limit][-1].number if found[:limit] else since,
            "more": len(found) > limit,
            "unread": len(inbox.unread),
        }
    )


async def _until(inbox: Inbox, inboxes: Inboxes, *, since: int, wait: int, request: web.Request) -> None:
    """Return when there is a request after `since`, or `wait` seconds later."""
    until = time.monotonic() + wait
    while inbox.last <= since and not inboxes.stopped.is_set() and request.transport is not None:
        left = until - time.monotonic()
        if left <= 0:
            return
        await inbox.news(min(left, 5.0))


async def one(request: web.Request) -> web.Response:
    """One request."""
    inbox = inbox_of(request)
    return _json(as_told(request_of(request, inbox), url=f"{root_of(request)}/inbox/{inbox.id}"))


async def body(request: web.Request) -> web.Response:
    """The body of a request as it came, as a file to keep: no browser runs or shows it."""
    inbox = inbox_of(request)
    received = request_of(request, inbox)
    return web.Response(
        body=received.body,
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="inbox-{received.number}.body"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


async def empty(request: web.Request) -> web.Response:
    """204: all requests are dropped."""
    must_be_our_page(request)
    inbox_of(request).empty()
    return web.Response(status=204)


async def read_settings(request: web.Request) -> web.Response:
    """How the inbox answers."""
    return _json(as_json(inbox_of(request).behaviour))


async def change_settings(request: web.Request) -> web.Response:
    """Set how the inbox answers from now on; what is not named stays as it is."""
    must_be_our_page(request)
    inbox = inbox_of(request)
    inbox.behaviour = read_behaviour(await _settings(request), inbox.behaviour)
    return _json(as_json(inbox.behaviour))


def request_of(request: web.Request, inbox: Inbox) -> Received:
    """The request of that inbox that an address names. Raises NotFound."""
    found = inbox.requests.get(int(request.match_info["number"]))
    if found is None:
        raise NotFound("Dit verzoek is er niet (meer): een inbox bewaart alleen de laatste.")
    return found


def as_told(received: Received, *, url: str) -> dict[str, Any]:
    """A request as the API has it. url: of its inbox."""
    signature, answer = received.signature, received.answer
    text = received.text
    return {
        "number": received.number,
        "receivedAt": Clock.utc(int(received.at * 1000)),
        "method": received.method,
        "target": received.target,
        "headers": [[name, value] for name, value in received.headers],
        "body": text,
        "bodyBase64": base64.b64encode(received.body).decode() if text is None else None,
        "size": received.size,
        "cut": received.is_cut,
        "check": received.is_check,
        "webhookId": received.webhook_id or None,
        "attempt": int(received.attempt) if re.fullmatch("[0-9]{1,9}", received.attempt) else None,
        "earlier": list(received.earlier),
        "signature": signature
        and {"header": signature.header, "verdict": signature.verdict, "reason": signature.why},
        "answer": {"status": answer.status, "reason": answer.why, "delay": answer.delay, "drip": answer.drip},
        "page": f"{url}/verzoeken/{received.number}",
    }


async def _settings(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body; {} where there is none. Raises ParseError or ValidationError."""
    text = bytearray()
    while chunk := await request.content.readany():
        text += chunk
        if len(text) > MAX_SETTINGS:
            raise ParseError(f"De body is groter dan {MAX_SETTINGS} bytes.")
    if not text:
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ParseError("De body is geen geldige JSON.") from None
    if not isinstance(found, dict):
        reason = "De body moet een JSON-object zijn, met instellingen."
        raise ValidationError([InvalidParam("nonFieldErrors", "invalid", reason)])
    return found


def _json(
    content: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=orjson.dumps(content),
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
    )


async def healthy(_: web.Request) -> web.Response:
    """200 while the process runs."""
    return _json({"status": "ok"})
