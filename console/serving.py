"""One request of a page: who asks, whether they may, the form, the page's function, and its answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from console.access import may
from console.forms import SAFE, Form, has_token, read_form
from console.login.sessions import LoggedIn, client_address, forget_said, logged_in, say_next, take_said
from console.page import Answer, BadQuery, Download, Live, Page, Redirect, Refused, Show, Visit
from console.rendering import Templates
from console.state import CONSOLE, Console
from console.streaming import streamed
from gateway.http.requests import repeated
from operating.acts import Operator
from operating.plain_text import printable
from runtime.log import logger
from schemas.errors import Conflict

ROOT = "/console/"
HTML = "text/html"

log = logger(__name__)

Said = Sequence[tuple[str, str]]
_CHANGED = "Het is intussen veranderd, dus er is niets gedaan. Kijk hieronder hoe het nu is."


class LoginNeeded(Exception):
    """Nobody is logged in; the request may be made again after a login."""


def root_of(request: web.Request) -> str:
    """The way from the page of this request to /console/, so that it works behind any prefix."""
    return "../" * (request.path.count("/") - ROOT.count("/")) or "./"


def served(page: Page, templates: Templates) -> Handler:
    """The handler of a page."""

    async def handle(request: web.Request) -> web.StreamResponse:
        console = request.app[CONSOLE]
        who = await logged_in(request, console)
        if who is None:
            raise LoginNeeded
        _must(who, page.name)
        if names := [name for name in repeated(request.query) if name not in page.several]:
            name = printable(names[0][:100])
            raise BadQuery(f"{name} staat meer dan een keer in het adres, en kan maar een waarde hebben.")
        await console.catalogue.refresh()  # what was changed a moment ago, here or by a command, is shown
        visit = _visit(console, request, who, command=f"console {page.name}")
        said: list[tuple[str, str]] = [*take_said(request, who)]
        answer: object
        if request.method in SAFE:
            answer = await page.show(visit)
        else:
            try:
                answer = await _act(page, console, request, who)
            except Refused as error:
                said.append(("error", str(error)))
                answer = await _again(page, visit, status=400)
            except Conflict:
                said.append(("error", _CHANGED))
                answer = await _again(page, visit, status=409)
        return await _answered(answer, request, page, templates, who, said)

    return handle


def _must(who: LoggedIn, what: str) -> None:
    if not may(who.user.role, what):
        raise web.HTTPForbidden


def _visit(console: Console, request: web.Request, who: LoggedIn, *, command: str) -> Visit:
    address = client_address(request, console.settings)
    operator = Operator(who.user.name, command, address=address, shown=who.user.shown)
    return Visit(console, request, who.user, who.session, console.acts_of(operator), time.time())


async def _act(page: Page, console: Console, request: web.Request, who: LoggedIn) -> Answer:
    form: Form = await read_form(request)
    if not has_token(form, who.form_token):
        raise Refused("Dit formulier is verlopen. Er is niets gedaan; vul het opnieuw in.")
    name = form.text("doen")
    action = page.actions.get(name)
    if action is None:
        raise web.HTTPBadRequest
    _must(who, f"{page.name}/{name}")
    return await action(_visit(console, request, who, command=f"console {page.name}/{name}"), form)


async def _again(page: Page, visit: Visit, *, status: int) -> object:
    """The page as it is now, below what is said."""
    await visit.console.catalogue.refresh()
    shown = await page.show(visit)
    return shown if isinstance(shown, Redirect | Download | Live | Show) else Show(shown, status)


async def _answered(
    answer: object, request: web.Request, page: Page, templates: Templates, who: LoggedIn, said: Said
) -> web.StreamResponse:
    if isinstance(answer, Redirect):
        response = web.Response(status=303, headers={"Location": root_of(request) + answer.to})
        if answer.said:
            say_next(response, who, answer.said)
        return response
    if isinstance(answer, Download):
        return await _sent(answer, request)
    if isinstance(answer, Live):
        return await streamed(answer, request, who, templates, root=root_of(request))
    shown = answer if isinstance(answer, Show) else Show(answer)
    text = templates.page(
        page, user=who.user, said=said, root=root_of(request), view=shown.view, token=who.form_token
    )
    response = web.Response(text=text, content_type=HTML, status=shown.status)
    forget_said(request, response)
    return response


async def _sent(download: Download, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{download.media_type}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{download.name}"',
        }
    )
    await response.prepare(request)
    async for part in download.parts:
        await response.write(part.encode())
    await response.write_eof()
    return response
