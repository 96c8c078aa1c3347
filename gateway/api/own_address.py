"""Detects a callbackUrl that is this API's own address for notificaties, in any spelling.

What is delivered there would come in again. A host name that no setting or request has is not recognised;
such a loop ends by `nrc-hops` (gateway/api/publish.py). No DNS lookup is made.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from gateway.http.requests import asked_root, own_root
from gateway.state import API_ROOT
from runtime.settings import Settings
from schemas.errors import InvalidParam
from schemas.urls import read_url

LONGEST = 2048  # characters of a callbackUrl; a longer one is refused in any case
LOCALHOST = "localhost"

Server = tuple[str, int]


def own_address_faults(data: Any, roots: Iterable[str]) -> list[InvalidParam]:
    """The fault of a callbackUrl that is our own `/notificaties`. roots: of this API, as of `own_roots`."""
    url = data.get("callbackUrl") if isinstance(data, dict) else None
    if not isinstance(url, str) or len(url) > LONGEST or (place := _place(url)) is None:
        return []
    server, path = place
    prefixes: dict[Server, str] = {}
    for root in roots:
        if own := _place(root):
            # Of several roots on one server only the first counts: another prefix may be another application.
            prefixes.setdefault(*own)
    if server not in prefixes or path != f"{prefixes[server].rstrip('/')}{API_ROOT}/notificaties":
        return []
    reason = "Dit is het adres waarop deze NRC zelf notificaties aanneemt: elk bericht zou rond blijven gaan."
    return [InvalidParam("callbackUrl", "invalid", reason)]


def own_roots(request: web.Request, settings: Settings) -> Iterator[str]:
    """The roots at which clients reach this API, in order of preference."""
    yield settings.public_url
    yield asked_root(request, settings)
    yield own_root(request)
    address, port = (request.get_extra_info("sockname") or ("", 0))[:2]
    if port:
        yield f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
        yield f"http://{LOCALHOST}:{port}"


def _place(text: str) -> tuple[Server, str] | None:
    """(server, path), normalised: http and https on their default ports are one server. None: no URL."""
    try:
        url = read_url(text.strip())
        host, port = unquote(url.raw_host or "").lower().rstrip("."), url.port or 0
    except ValueError:
        return None
    if not host:
        return None
    path = posixpath.normpath("/" + unquote(url.raw_path).lstrip("/"))
    return (_one_spelling(host), 0 if port in (80, 443) else port), path


def _one_spelling(host: str) -> str:
    """Every name and address of loopback is LOCALHOST."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return LOCALHOST if host.endswith(f".{LOCALHOST}") else host
    address = getattr(address, "ipv4_mapped", None) or address
    return LOCALHOST if address.is_loopback else str(address)
