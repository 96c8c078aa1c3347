"""Pages for people, in Dutch: the list of an inbox, one request, and its settings.

What came in is only ever text in these pages: every template escapes, and no body is served as a page. All
that scripts do can be done without.
"""

from __future__ import annotations

import time
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from console.styles import HOUSE_STYLE, ICON, Styles
from inbox.api import request_of
from inbox.behaviour import ANY, NONE, Behaviour, read_behaviour
from inbox.inboxes import Inbox
from inbox.received import Received
from inbox.showing.pretty import MAX_SHOWN, as_curl, indented, raw, sample
from inbox.state import INBOXES, inbox_of, must_be_opened, must_be_our_page, query_of, root_of
from ledger.explaining.dutch import AMSTERDAM, Clock, number
from schemas.errors import NotFound, Problem, ValidationError

STYLES: web.AppKey[Styles] = web.AppKey("styles", Styles)
"""The console's style sheets: a house style holds for the inbox too."""
_OURS = ("inbox.css", "inbox.js")
_STYLE_SHEETS = ("nl-design-system.css", HOUSE_STYLE, "console.css", "inbox.css")
_FILES = {
    **dict.fromkeys(_STYLE_SHEETS, "text/css; charset=utf-8"),
    "inbox.js": "text/javascript; charset=utf-8",
    ICON: "image/svg+xml",
}
# A page loads styles and scripts of ours, and nothing else.
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# For paths: of the path to a page, and of the path to something that belongs to it.
_HERE, _BELOW = "", "../../"


async def new(request: web.Request) -> web.Response:
    """303 to the page of a new inbox. Settings may stand in the query."""
    must_be_opened(request)
    made = request.app[INBOXES].make(read_behaviour(query_of(request), Behaviour()))
    return web.Response(status=303, headers={"Location": f"{root_of(request)}/inbox/{made.id}"})


async def to_new(_: web.Request) -> web.Response:
    """303 to where an inbox is made."""
    return web.Response(status=303, headers={"Location": "/inbox/"})


async def show(request: web.Request) -> web.Response:
    """The list of an inbox, the newest first, with its address and its settings. `bewaard`: just changed."""
    return _list(request, inbox_of(request), saved="bewaard" in request.query)


async def show_one(request: web.Request) -> web.Response:
    """One request. Whoever opens it has read it."""
    inbox = inbox_of(request)
    received = request_of(request, inbox)
    inbox.read(received.number)
    numbers = list(inbox.requests)
    at = numbers.index(received.number)
    return page(
        "request.html",
        base=_BELOW,
        inbox=inbox,
        received=received,
        same=inbox.same_id(received),
        before=numbers[at - 1] if at else None,
        after=numbers[at + 1] if at + 1 < len(numbers) else None,
        pretty=indented(received),
        raw=raw(received),
        shown=MAX_SHOWN,
        curl=as_curl(received, url=f"{root_of(request)}{received.target}"),
    )


async def change(request: web.Request) -> web.Response:
    """Settings from the form of the page: 303 back to it, or the page with what is wrong."""
    must_be_our_page(request)
    inbox = inbox_of(request)
    form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    exact = form.pop("value", "")
    wanted = form.get("authorization", "")
    if wanted not in (ANY, NONE):
        form["authorization"] = exact
    form.setdefault("reset", "")
    try:
        inbox.behaviour = read_behaviour(form, inbox.behaviour)
    except ValidationError as error:
        faults = {param.name: param.reason for param in error.invalid_params}
        return _list(request, inbox, form=form, faults=faults, status=400)
    return _back(request, inbox, query="?bewaard")


async def empty(request: web.Request) -> web.Response:
    """All requests are dropped; 303 to the page."""
    must_be_our_page(request)
    inbox = inbox_of(request)
    inbox.empty()
    return _back(request, inbox)


async def read_all(request: web.Request) -> web.Response:
    """Nothing is unread any more; 303 to the page."""
    must_be_our_page(request)
    inbox = inbox_of(request)
    inbox.read_all()
    return _back(request, inbox)


async def static(request: web.Request) -> web.Response:
    """A style sheet or a script of ours."""
    name = request.match_info["name"]
    if name not in _FILES:
        raise NotFound("Dit bestand bestaat hier niet.")
    content = _bytes_of(name) if name in _OURS else request.app[STYLES].content[name]
    return web.Response(
        body=content, headers={"Content-Type": _FILES[name], "Cache-Control": "public, max-age=300"}
    )


def fault_page(problem: Problem) -> web.Response:
    """What went wrong, for people."""
    faults = [param.reason for param in getattr(problem, "invalid_params", ())]
    answer = page("fault.html", base="/inbox/", status=problem.status, problem=problem, faults=faults)
    if problem.retry_after is not None:
        answer.headers["Retry-After"] = str(problem.retry_after)
    return answer


def page(template: str, *, base: str, status: int = 200, **facts: Any) -> web.Response:
    """A page. base: how its links get to /inbox/."""
    html = _environment().get_template(template).render(base=base, **facts)
    # What came in may hold what UTF-8 has no bytes for.
    return web.Response(
        body=html.encode(errors="replace"),
        status=status,
        headers={
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
        },
    )


def row_html(inbox: Inbox, received: Received) -> str:
    """A request as an item of the list."""
    module: Any = _environment().get_template("row.html").module
    return str(module.row(inbox, received, _HERE))


def _list(
    request: web.Request,
    inbox: Inbox,
    *,
    form: dict[str, str] | None = None,
    faults: dict[str, str] | None = None,
    status: int = 200,
    saved: bool = False,
) -> web.Response:
    url = f"{root_of(request)}/inbox/{inbox.id}"
    return page(
        "inbox.html",
        base=_HERE if status == 200 else "../",
        status=status,
        inbox=inbox,
        received=list(reversed(inbox.requests.values())),
        limits=request.app[INBOXES].limits,
        url=url,
        sample=sample(url, inbox.behaviour.authorization),
        saved=saved,
        form={**_form_of(inbox.behaviour), **(form or {})},
        faults=faults or {},
    )


def _form_of(behaviour: Behaviour) -> dict[str, str]:
    return {
        "authorization": behaviour.authorization,
        "status": str(behaviour.status),
        "delay": f"{behaviour.delay:g}".replace(".", ","),
        "fail": str(behaviour.fail),
        "drip": f"{behaviour.drip:g}".replace(".", ","),
        "reset": "on" if behaviour.reset else "",
        "secret": behaviour.secret,
    }


def _back(request: web.Request, inbox: Inbox, *, query: str = "") -> web.Response:
    return web.Response(status=303, headers={"Location": f"{root_of(request)}/inbox/{inbox.id}{query}"})


def _clock(at: float, form: str = "%H:%M:%S") -> str:
    """`01:46:03`, with the date when it is not of today."""
    return Clock(now=int(time.time() * 1000)).bare(int(at * 1000), form)


def _whole(at: float) -> str:
    """`30-11-2026 01:46:03,412 (Europe/Amsterdam)`."""
    moment = Clock(now=0).local(int(at * 1000))
    return f"{moment:%d-%m-%Y %H:%M:%S},{int(at * 1000) % 1000:03d} ({AMSTERDAM.key})"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("inbox.showing"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"clock": _clock, "whole": _whole, "utc": _utc, "number": number}
    environment.globals |= {"ANY": ANY, "NONE": NONE, "style_sheets": _STYLE_SHEETS, "icon": ICON}
    return environment


def _utc(at: float) -> str:
    return str(Clock.utc(int(at * 1000)))


@cache
def _bytes_of(name: str) -> bytes:
    return (Path(str(files("inbox.showing"))) / "static" / name).read_bytes()
