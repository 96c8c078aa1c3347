"""Sessions: the cookie, how long one lasts, and what is said on the next page.

The cookie has a random token; the registry has its hash. Of the token are made, by HMAC, the token that is in
every form of the session, and the mark on what an action says on the next page (a cookie of its own).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field

from aiohttp import web

from console.state import Console
from gateway.http.requests import asked_root, is_trusted
from operating.users import may_log_in
from runtime.settings import Settings
from schemas.user import Session, User

LONGEST = 24 * 3600.0
"""Seconds from the login to the end of any session. By OpenID Connect it is NRC_CONSOLE_SESSION."""
NOTE_SEEN = 60.0  # seconds between two writes of when a session was used
MAX_SAID = 1000  # characters of what an action says on the next page
_SAID_FOR = 60  # seconds


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who makes a request."""

    user: User
    session: Session
    token: str = field(repr=False)

    @property
    def form_token(self) -> str:
        """What every form of this session has."""
        return _mac(self.token, b"form")


def console_root(request: web.BaseRequest, settings: Settings) -> str:
    """The address of the console for its users, without /console/."""
    return settings.console_public_url or asked_root(request, settings)


def is_https(request: web.BaseRequest, settings: Settings) -> bool:
    """Whether users reach the console over TLS."""
    return console_root(request, settings).startswith("https:")


def client_address(request: web.BaseRequest, settings: Settings) -> str:
    """From where the request comes: of the proxy's `X-Forwarded-For` the last, where it is trusted."""
    remote = request.remote or ""
    if settings.trusted_proxies and is_trusted(remote, settings.trusted_proxies):
        forwarded = request.headers.getall("X-Forwarded-For", ("",))[-1].rpartition(",")[2].strip()
        return forwarded[:64] if forwarded.isprintable() and forwarded else remote
    return remote


async def logged_in(request: web.Request, console: Console) -> LoggedIn | None:
    """Who made this request; None when nobody is logged in, or not any more."""
    token = request.cookies.get(cookie_name(request, console.settings, COOKIE), "")
    if not token:
        return None
    users = console.registry.users
    found = await users.session(_key(token))
    if found is None:
        return None
    session, user = found
    now = time.time()
    if _has_ended(session, user, console.settings, now=now):
        await users.end_session(session.key)
        return None
    if now - session.seen > NOTE_SEEN:
        await users.note_seen(session.key, now)
    return LoggedIn(user, session, token)


async def is_over(who: LoggedIn, console: Console) -> bool:
    """Whether this session has ended, of somebody who only looks: that does not count as use."""
    found = await console.registry.users.session(who.session.key)
    return found is None or _has_ended(*found, console.settings, now=time.time())


def _has_ended(session: Session, user: User, settings: Settings, *, now: float) -> bool:
    # A provider is not asked again during a session: whoever left a group there is out within this time.
    longest = settings.console_session if user.issuer else LONGEST
    idle, age = now - session.seen, now - session.began
    return idle > settings.console_session or age > longest or not may_log_in(user, settings)


async def begin(
    request: web.Request, response: web.StreamResponse, console: Console, user: User, *, id_token: str = ""
) -> None:
    """Begin a session of this user, with the cookie in the response; sessions that are over go.

    id_token: to log out of the OpenID provider with. Raises Conflict when the user is gone.
    """
    now, users = time.time(), console.registry.users
    await users.end_old_sessions(
        seen_before=now - console.settings.console_session, begun_before=now - LONGEST
    )
    token = secrets.token_urlsafe(32)
    address = client_address(request, console.settings)
    await users.begin_session(Session(_key(token), user.name, now, now, address, id_token))
    console.counts.logins["succeeded"] += 1
    set_cookie(request, response, console.settings, COOKIE, token)  # until the browser is closed


async def open_sessions(console: Console) -> int:
    """How many sessions are not over, of all consoles. Raises RegistryError."""
    now = time.time()
    return await console.registry.users.count_sessions(
        seen_after=now - console.settings.console_session, begun_after=now - LONGEST
    )


def say_next(response: web.StreamResponse, who: LoggedIn, text: str) -> None:
    """Have the next page say this, once."""
    content = base64.urlsafe_b64encode(text[:MAX_SAID].encode()).decode()
    value = f"{content}.{_mac(who.token, content.encode())}"
    response.set_cookie(SAID, value, path="/", max_age=_SAID_FOR, httponly=True, samesite="Lax")


SAID = "nrc-console-said"


def take_said(request: web.Request, who: LoggedIn) -> list[tuple[str, str]]:
    """What an action before said to say here; nothing that others wrote into the cookie."""
    content, _, mac = request.cookies.get(SAID, "").partition(".")
    if not content or not hmac.compare_digest(mac.encode(), _mac(who.token, content.encode()).encode()):
        return []
    return [("ok", base64.urlsafe_b64decode(content).decode())]


def forget_said(request: web.Request, response: web.StreamResponse) -> None:
    """It was said."""
    if SAID in request.cookies:
        response.del_cookie(SAID, path="/", httponly=True, samesite="Lax")


COOKIE = "nrc-console"


def set_cookie(
    request: web.Request,
    response: web.StreamResponse,
    settings: Settings,
    name: str,
    value: str,
    *,
    max_age: int | None = None,
) -> None:
    """Give the browser a secret for this console. max_age: seconds; None until it is closed."""
    own, secure = cookie_name(request, settings, name), is_https(request, settings)
    response.set_cookie(own, value, path="/", max_age=max_age, secure=secure, httponly=True, samesite="Lax")


def drop_cookie(request: web.Request, response: web.StreamResponse, settings: Settings, name: str) -> None:
    """Have the browser drop it."""
    own, secure = cookie_name(request, settings, name), is_https(request, settings)
    response.del_cookie(own, path="/", secure=secure, httponly=True, samesite="Lax")


def cookie_name(request: web.BaseRequest, settings: Settings, name: str) -> str:
    """The name that the cookie has in the browser."""
    # A browser takes a name with __Host- only over TLS, from this host, for this host alone.
    return f"__Host-{name}" if is_https(request, settings) else name


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _mac(token: str, of: bytes) -> str:
    return hmac.new(token.encode(), of, hashlib.sha256).hexdigest()
