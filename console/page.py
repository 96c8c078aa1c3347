"""What a page is made of: the values between a page's module and console/serving.py. No I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from console.forms import Form
from console.state import Console
from operating.acts import Log
from schemas.errors import NrcError
from schemas.user import Session, User


class Refused(NrcError):
    """An action is not done, as asked. text: a Dutch sentence that says what to do; shown above the page."""


class BadQuery(NrcError):
    """The query of a page can't be what is meant. text: a Dutch sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is logged in, and may see the page.

    log: where acts of this user are noted. now: Unix seconds.
    """

    console: Console
    request: web.Request
    user: User
    session: Session
    log: Log
    now: float

    def asked(self, name: str) -> str:
        """A parameter of the query, without spaces around it; "" where it is not given."""
        return self.request.query.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Show:
    """The page again, with `view` for its template. Of an action: what it made is shown once, here."""

    view: object
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """Another page, by its path below /console/ (with a query where need be). said: shown above it, once."""

    to: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class Download:
    """A file. parts: its content, in UTF-8, sent as it comes."""

    name: str
    media_type: str
    parts: AsyncIterator[str]


@dataclass(frozen=True, slots=True)
class Event:
    """Something for a script of the page. view: for the template; None of one without content."""

    name: str
    view: object = None


@dataclass(frozen=True, slots=True)
class Live:
    """Server-sent events for as long as somebody looks. template: makes the HTML of each that has a view."""

    template: str
    events: AsyncIterator[Event]


Answer = Show | Redirect | Download | Live


@dataclass(frozen=True, slots=True)
class Page:
    """A page below /console/.

    name: in access.py and in the navigation. path: with a slash at its end; may have `{parts}`, which are in
    `visit.request.match_info`. title: its heading and its name in the navigation. template: in
    templates/pages/. show: gives what the template has as `view`, or an answer. actions: by the field `doen`
    of a form, which is POSTed to the page's own address. under: the page in whose place it stands in the
    navigation, of a page that has none there. several: the names of the query that may be repeated.
    """

    name: str
    path: str
    title: str
    template: str
    show: Callable[[Visit], Awaitable[object]]
    actions: Mapping[str, Callable[[Visit, Form], Awaitable[Answer]]] = field(default_factory=dict)
    under: str = ""
    several: Collection[str] = ()
