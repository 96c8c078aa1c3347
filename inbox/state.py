"""What every handler shares: the inboxes, and what a request says of itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from aiohttp import web
from multidict import MultiDict

from gateway.http.requests import faults_of_repeated, repeated
from inbox.inboxes import Inbox, Inboxes
from schemas.errors import InvalidParam, ParseError, PermissionDenied, ValidationError

INBOXES: web.AppKey[Inboxes] = web.AppKey("inboxes", Inboxes)

_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


def inbox_of(request: web.Request) -> Inbox:
    """The inbox that a request is about. Raises NotFound."""
    return request.app[INBOXES].find(request.match_info["id"])


def query_of(request: web.BaseRequest, names: Collection[str] | None = None) -> Mapping[str, str]:
    """The query. Raises ParseError where a part of it is no UTF-8, and ValidationError where one is repeated.

    names: those that are read; None: all. Of another that is repeated, one value is given.
    """
    query: MultiDict[str] = MultiDict(request.query)
    found = dict(query)
    for text in (*found, *(value for _, value in query.items())):
        if not _is_text(text):
            raise ParseError("De query van het adres is geen geldige UTF-8.")
    if faults := faults_of_repeated(name for name in repeated(query) if names is None or name in names):
        raise ValidationError(faults)
    return found


def only(query: Mapping[str, str], *names: str) -> Mapping[str, str]:
    """The query, where it has no other names. Raises ValidationError."""
    reason = f"Deze parameter is er niet; wel: {', '.join(names) or 'geen'}."
    if faults := [InvalidParam(name, "unknown-parameters", reason) for name in query if name not in names]:
        raise ValidationError(faults)
    return query


def whole_number(query: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    """A whole number of the query, from 0. Raises ValidationError."""
    text = query.get(name, str(default))
    if not text.isdecimal() or len(text) > 15 or int(text) > most:
        reason = f"Geef een geheel getal van 0 tot en met {most}."
        raise ValidationError([InvalidParam(name, "invalid", reason)])
    return int(text)


def root_of(request: web.BaseRequest) -> str:
    """scheme://host by which the client reached us. Raises ParseError where its Host is none."""
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        raise ParseError("De header Host ontbreekt of is geen naam of adres.")
    return f"{request.scheme}://{host}"


def must_be_our_page(request: web.BaseRequest) -> None:
    """Return unless a browser says that a page of somebody else asks for this. Raises PermissionDenied."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise PermissionDenied(
            "Dit kan alleen vanaf de pagina van de inbox zelf, niet vanaf een andere site."
        )


def must_be_opened(request: web.BaseRequest) -> None:
    """Return unless a browser asks for this as a part of another page, or ahead of time."""
    part = request.headers.get("Sec-Fetch-Dest", "document") != "document"
    if part or "prefetch" in request.headers.get("Sec-Purpose", ""):
        raise PermissionDenied("Open dit adres zelf: als deel van een andere pagina maakt het geen inbox.")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
