"""The addresses of a login by OpenID Connect: to the provider, and back from it. Each failure is a page."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.typedefs import Handler

from console.login import sessions
from console.login.oidc import attempt as attempts
from console.login.oidc.claims import role_of, roles_by_group
from console.login.oidc.faults import BUSY, ELSEWHERE, OVER, REFUSED, WRONG, LoginFailed
from console.login.way_back import way_back
from console.rendering import Templates
from console.serving import HTML, root_of
from console.state import CONSOLE, Console
from gateway.http.requests import repeated
from operating.acts import Operator
from operating.plain_text import printable
from operating.users import end_identity, keep_identity
from runtime.log import logger
from schemas.errors import Conflict

if TYPE_CHECKING:
    from console.login.oidc.provider import Provider

COMMAND = "console inloggen"
_COOKIE = "nrc-console-login"
_DENIED = ("access_denied", "login_required", "interaction_required", "consent_required")
_TEXT = 200  # characters of an error of the provider in the log

log = logger(__name__)


def to_provider(templates: Templates) -> Handler:
    """Begins an attempt, and sends the browser to the provider."""

    async def begin(request: web.Request, console: Console, provider: Provider) -> web.Response:
        secret = attempts.new_secret()
        attempt = attempts.begin(secret, issuer=provider.issuer, to=way_back(request), now=time.time())
        response = web.Response(status=303, headers={"Location": await provider.login_url(attempt)})
        sessions.set_cookie(request, response, console.settings, _COOKIE, secret, max_age=attempts.LASTS)
        return response

    return _or_fault(begin, templates)


def from_provider(templates: Templates) -> Handler:
    """Takes the provider's answer, and begins a session."""

    async def finish(request: web.Request, console: Console, provider: Provider) -> web.Response:
        secret = request.cookies.get(sessions.cookie_name(request, console.settings, _COOKIE), "")
        asked, now = request.query, time.time()
        if twice := repeated(asked):  # RFC 6749, 3.1
            raise LoginFailed(WRONG, f"the answer has {printable(twice[0][:_TEXT])} more than once")
        attempt = attempts.answered(secret, asked.get("state", ""), issuer=provider.issuer, now=now)
        code = await _code(request, provider)
        found = await provider.exchange(code, attempt, now=now)
        operator = Operator(
            found.identity.name,
            COMMAND,
            address=sessions.client_address(request, console.settings),
            shown=found.identity.shown,
        )
        users, notes = console.registry.users, console.acts_of(operator)
        by_group = roles_by_group(console.settings.console_oidc_roles)
        try:
            role = role_of(found.groups, by_group, shown=found.identity.shown)
        except LoginFailed:
            await end_identity(users, notes, found.identity)
            raise
        user = await keep_identity(users, notes, found.identity, role)
        response = web.Response(status=303, headers={"Location": root_of(request) + attempt.to})
        try:
            await sessions.begin(request, response, console, user, id_token=found.id_token)
        except Conflict:
            raise LoginFailed(OVER, "the user was removed a moment ago") from None
        await notes.record("user logged in", name=user.name)
        return response

    return _or_fault(finish, templates, ends=True)


async def _code(request: web.Request, provider: Provider) -> str:
    """The code in the answer. Raises LoginFailed for an answer of another provider, and for an error."""
    asked = request.query
    issuer = asked.get("iss")
    if issuer is None:
        if (await provider.discovered()).says_issuer:
            raise LoginFailed(ELSEWHERE, "the answer names no iss, and this provider always does")
    elif issuer != provider.issuer:
        raise LoginFailed(ELSEWHERE, f"the answer is of issuer {printable(issuer[:_TEXT])}")
    if error := asked.get("error"):
        told = printable(f"{error[:_TEXT]}: {asked.get('error_description', '')[:_TEXT]}")
        raise LoginFailed(REFUSED if error in _DENIED else WRONG, f"the provider answered {told}")
    if not (code := asked.get("code")):
        raise LoginFailed(OVER, "the answer has no code")
    return code


Work = Callable[[web.Request, Console, "Provider"], Awaitable[web.Response]]


def _or_fault(work: Work, templates: Templates, *, ends: bool = False) -> Handler:
    """The handler that answers a LoginFailed with a page. ends: whether the cookie goes."""

    async def handle(request: web.Request) -> web.StreamResponse:
        console = request.app[CONSOLE]
        provider = console.provider
        if provider is None:
            raise web.HTTPNotFound
        try:
            response = await work(request, console, provider)
        except LoginFailed as error:
            console.counts.logins["busy" if error.fault is BUSY else "failed"] += 1
            remote = sessions.client_address(request, console.settings)
            told = {"user": error.shown} if error.shown else {}
            log.warning("login by OpenID Connect failed", reason=error.reason, remote=remote, **told)
            response = _page(request, templates, error, contact=provider.contact)
        if ends:
            sessions.drop_cookie(request, response, console.settings, _COOKIE)
        return response

    return handle


def _page(request: web.Request, templates: Templates, error: LoginFailed, *, contact: str) -> web.Response:
    fault = error.fault
    advice = fault.advice.format(contact=contact, shown=error.shown)
    text = templates.bare(
        "login_failed.html", root=root_of(request), title=fault.title, advice=advice, again=fault.again
    )
    return web.Response(text=text, content_type=HTML, status=fault.status)
