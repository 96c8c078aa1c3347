"""Reading forms: where they may come from, their token, and their fields.

Three things keep another site from having an operator's browser do something: cookies are SameSite=Lax, an
unsafe request must come from this site by `Sec-Fetch-Site` or `Origin`, and its form must have the token of
the session.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web
from yarl import URL

from schemas.urls import read_url

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
TOKEN = "token"  # noqa: S105 - the name of a field
MAX_FORM = 64 * 1024  # bytes
MAX_FIELDS = 200
_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form. Each may be there several times."""

    fields: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        """A field without spaces around it; "" where it is not there."""
        return self.as_typed(name).strip()

    def as_typed(self, name: str) -> str:
        """A field as it is: of a password."""
        return self.fields.get(name, ("",))[0]

    def every(self, name: str) -> tuple[str, ...]:
        """All values of a field, such as of checkboxes with one name."""
        return self.fields.get(name, ())

    def has(self, name: str) -> bool:
        """Whether it is there: a checkbox that is checked."""
        return name in self.fields


def comes_from_here(request: web.Request, root: str) -> bool:
    """Whether a page of this console sent an unsafe request. root: the console's address for its users.

    Browsers send `Sec-Fetch-Site` over TLS and to this machine; else they send `Origin`. Neither: no browser.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    return _origin(request.headers.get("Origin", "")) == _origin(root)


def _origin(text: str) -> URL | None:
    try:
        return read_url(text).origin()
    except ValueError:
        return None


async def read_form(request: web.Request) -> Form:
    """The form of a request. Raises web.HTTPException for what is no form that can be read."""
    if request.content_type != _TYPE:
        raise web.HTTPUnsupportedMediaType
    try:
        pairs = parse_qsl(
            (await request.read()).decode(),
            keep_blank_values=True,
            max_num_fields=MAX_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise web.HTTPBadRequest from None
    fields: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        fields[name] = (*fields.get(name, ()), value)
    return Form(fields)


def has_token(form: Form, token: str) -> bool:
    """Whether the form is one that was shown in this session."""
    return hmac.compare_digest(form.text(TOKEN).encode(), token.encode())
