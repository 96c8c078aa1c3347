"""Whether a callbackUrl is the place where this API takes notificaties, whichever way it is written.

For mistakes: what is delivered there comes in again, and goes round. A name that nobody here knows as ours is
not seen; what it leads to ends by `nrc-hops` (gateway/api/publish.py). Looks nothing up.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from gateway.http.requests import asked_root, own_root
from gateway.state import API_ROOT
from runtime.settings import Settings
from schemas.errors import InvalidParam
from schemas.urls import read_url

LONGEST = 2048  # characters of a callbackUrl; a longer one is refused anyhow
LOCALHOST = "localhost"

Server = tuple[str, int]


def own_address_faults(data: Any, request: web.Request, settings: Settings) -> list[InvalidParam]:
    """The fault of a callbackUrl that is our own `/notificaties`."""
    url = data.get("callbackUrl") if isinstance(data, dict) else None
    if not isinstance(url, str) or len(url) > LONGEST or (place := _place(url)) is None:
        return []
    server, path = place
    prefixes: dict[Server, str] = {}
    for root in _own_roots(request, settings):
        if own := _place(root):
            # Of several on one server the first is what clients use; without its prefix others may be there.
            prefixes.setdefault(*own)
    if server not in prefixes or path != f"{prefixes[server].rstrip('/')}{API_ROOT}/notificaties":
        return []
    reason = "Dit is het adres waarop deze NRC zelf notificaties aanneemt: elk bericht zou rond blijven gaan."
    return [InvalidParam("callbackUrl", "invalid", reason)]


def _own_roots(request: web.Request, settings: Settings) -> Iterator[str]:
    """The roots under which this API is known to be reached: those for clients first."""
    yield settings.public_url
    yield asked_root(request, settings)
    yield own_root(request)
    address, port = (request.get_extra_info("sockname") or ("", 0))[:2]
    if port:
        yield f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
        yield f"http://{LOCALHOST}:{port}"


def _place(text: str) -> tuple[Server, str] | None:
    """(server, path) in one spelling; http and https on their usual ports are one server. None: no URL."""
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
