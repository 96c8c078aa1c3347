"""Reads and checks the parts of a request: Accept, query, body, and the root URL that its client used.

Each function checks one thing and raises the standard's Problem; the handlers call them in the standard's
order. Knows nothing of kanalen, abonnementen or notificaties.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from ipaddress import ip_address

from aiohttp import StreamReader, web
from multidict import MultiMapping

from gateway.tokens import claimed_client
from router.history import HOPS
from router.names import ABONNEMENT_HEADER
from runtime.log import without_secrets
from runtime.settings import Network, Settings
from schemas.errors import (
    InvalidParam,
    LoopDetected,
    NotAcceptable,
    ParseError,
    RequestTooLarge,
    UnsupportedMediaType,
    ValidationError,
)
from schemas.fields import NON_FIELD
from schemas.urls import read_url

CALLBACK_URL: web.RequestKey[str] = web.RequestKey("callback_url", str)
"""The callbackUrl of a request, for the log."""
OF_A_DELIVERY = (HOPS, ABONNEMENT_HEADER, "nrc-attempt")
"""Headers of a delivery, which a consumer that forwards it may keep."""
BODY_TIMEOUT = 30.0  # seconds for a whole body; a slower client gets a ParseError
MAX_CLIENT = 200  # characters of a client_id in the log; a client can claim any

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.%]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)+")
_COUNTS = re.compile(r"[0-9]{1,4}")
_QVALUE = re.compile(r"q\s*=\s*([0-9.]+)", re.IGNORECASE)


class ClientGone(Exception):
    """The client went away before its request was complete."""


def must_accept_json(request: web.Request) -> None:
    """Raise NotAcceptable when the client does not accept application/json."""
    accept = request.headers.getall("Accept", ())
    asked = ",".join(accept)
    # Only short headers are cached: a client could else fill two megabytes.
    decide = accepts_json if len(asked) <= 256 else accepts_json.__wrapped__
    if asked and not decide(asked):
        raise NotAcceptable("Deze API antwoordt alleen met application/json.")


@lru_cache(maxsize=256)
def accepts_json(accept: str) -> bool:
    """Whether an Accept header allows application/json, by its most specific range (RFC 9110, 12.5.1)."""
    best, quality = -1, 0.0
    for part in accept.split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        specificity = {"*/*": 0, "application/*": 1, "application/json": 2}.get(media_range.lower(), -1)
        if specificity > best:
            best, quality = specificity, _quality(parameters)
        elif specificity == best >= 0:
            quality = max(quality, _quality(parameters))
    return quality > 0 or not accept.strip()


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if match := _QVALUE.fullmatch(parameter):
            try:
                return float(match[1])
            except ValueError:
                return 1.0
    return 1.0


def read_query(
    request: web.Request, *, known: Collection[str] = (), several: Collection[str] = ()
) -> dict[str, str]:
    """The query parameters. Raises ValidationError for unknown ones, and for one that is repeated.

    several: those that may be repeated; their values are joined with commas.
    """
    if not request.query_string:
        return {}
    query, faults = request.query, []
    if unknown := sorted({name for name in query if name not in known}):
        reason = f"Onbekende query-parameters: {', '.join(unknown)}"
        if known:
            reason += f". Wel bekend: {', '.join(known)}."
        faults.append(InvalidParam(NON_FIELD, "unknown-parameters", reason))
    faults += faults_of_repeated(name for name in repeated(query) if name in known and name not in several)
    if faults:
        raise ValidationError(faults)
    return {name: ",".join(query.getall(name)) for name in query}


def repeated(query: MultiMapping[str]) -> list[str]:
    """The names that are there more than once."""
    return [name for name, times in sorted(Counter(name for name, _ in query.items()).items()) if times > 1]


def faults_of_repeated(names: Iterable[str]) -> list[InvalidParam]:
    """What is told of parameters that are there more than once, and take one value."""
    reason = "Deze parameter staat er meer dan een keer, en kan maar een waarde hebben."
    return [InvalidParam(name, "invalid", reason) for name in names]


async def read_body(
    request: web.Request,
    *,
    limit: int,
    came: Callable[[int], None] | None = None,
    of_type: str | None = "application/json",
) -> bytes:
    """The body of a request of this media type (None: of any), of at most `limit` bytes.

    Raises UnsupportedMediaType, RequestTooLarge, ParseError (it did not arrive in time) or ClientGone.
    came: called with the size of each piece of a body without Content-Length; may raise.
    """
    headers = request.headers
    if of_type is not None and media_type_of(request) != of_type:
        raise UnsupportedMediaType("Stuur de body als application/json.")
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Een gecomprimeerde body wordt niet ondersteund.")
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        unannounced = came if request.content_length is None else None
        body = await _received(request.content, limit=limit, came=unannounced)
    except TimeoutError:
        raise ParseError(f"De body is niet binnen {BODY_TIMEOUT:g} seconden aangekomen.") from None
    except (OSError, RuntimeError, web.RequestPayloadError) as error:
        if request.transport is None:
            raise ClientGone from error
        raise
    if len(body) > limit:
        raise _too_large(limit)
    return body


def media_type_of(request: web.Request) -> str:
    """The Content-Type in lower case, without parameters; "" without one.

    A charset parameter is ignored: JSON is UTF-8 (RFC 8259, 8.1 and 11).
    """
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def _received(content: StreamReader, *, limit: int, came: Callable[[int], None] | None) -> bytes:
    """All of a body, or its first part when it is larger than `limit`."""
    if content.is_eof() and came is None:  # it came together with the headers, as small ones do
        return content.read_nowait()
    received = bytearray()
    async with asyncio.timeout(BODY_TIMEOUT):
        while len(received) <= limit and (chunk := await content.readany()):
            if came is not None:
                came(len(chunk))
            received += chunk
    return bytes(received)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"De body is groter dan {limit} bytes.")


def hops_of(request: web.Request, *, most: int) -> int:
    """How many deliveries by an NRC this message went through, by `nrc-hops`.

    1 where that header is missing or invalid and the request has another header of a delivery. Raises
    LoopDetected where there are more than `most`.
    """
    counts = _COUNTS.findall(",".join(request.headers.getall(HOPS, ())))
    delivered = any(name in request.headers for name in OF_A_DELIVERY)
    hops = max(int(delivered), *map(int, counts), 0)
    if hops > most:
        raise LoopDetected(hops, most=most)
    return hops


def who_asks(request: web.BaseRequest) -> dict[str, str]:
    """Facts of a request for a log line. client: as its token claims, valid or not."""
    known = {
        "method": request.method,
        "path": request.path,
        "remote": request.remote or "",
        "client": claimed_client(request.headers.get("Authorization"))[:MAX_CLIENT],
        "callbackUrl": without_secrets(request.get(CALLBACK_URL, "")),
    }
    return {name: value for name, value in known.items() if value}


def root_url(request: web.BaseRequest, settings: Settings) -> str:
    """The root of `url`, `Location` and `type`, without a final slash: NRC_PUBLIC_URL, else `asked_root`."""
    return settings.public_url or asked_root(request, settings)


def own_root(request: web.BaseRequest) -> str:
    """scheme://host of the request as received, which a proxy may have changed."""
    return f"{request.scheme}://{_own_authority(request)}"


def asked_root(request: web.BaseRequest, settings: Settings) -> str:
    """The root that the client used: that of the request, or as a trusted proxy says."""
    scheme, host, prefix = request.scheme, _own_authority(request), ""
    if settings.trusted_proxies and is_trusted(request.remote, settings.trusted_proxies):
        proto = _forwarded(request, "X-Forwarded-Proto").lower()
        scheme = proto if proto in ("http", "https") else scheme
        forwarded_host = _forwarded(request, "X-Forwarded-Host")
        host = forwarded_host if _AUTHORITY.fullmatch(forwarded_host) else host
        forwarded_prefix = _forwarded(request, "X-Forwarded-Prefix").rstrip("/")
        prefix = forwarded_prefix if _PREFIX.fullmatch(forwarded_prefix) else ""
    return f"{scheme}://{host}{prefix}"


def root_is_https(request: web.BaseRequest, settings: Settings) -> bool:
    """Whether `root_url` starts with https; faster where no setting needs the headers."""
    if not settings.public_url and not settings.trusted_proxies:
        return request.secure
    return root_url(request, settings).startswith("https:")


def _own_authority(request: web.BaseRequest) -> str:
    """host[:port] of an absolute request target, else of the Host header, else of the socket (HTTP/1.0)."""
    target = request.raw_path
    if not target.startswith("/"):
        try:
            authority = read_url(target).raw_authority.rpartition("@")[2]
        except ValueError:
            authority = ""
        if _AUTHORITY.fullmatch(authority):
            return authority
    host = request.headers.get("Host", "")
    if _AUTHORITY.fullmatch(host):
        return host
    socket_name = request.get_extra_info("sockname")
    if not isinstance(socket_name, tuple):
        return "localhost"
    address, port = socket_name[:2]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _forwarded(request: web.BaseRequest, name: str) -> str:
    """The last value of a header: the nearest proxy wrote that; a client may have written those before it."""
    last = request.headers.getall(name, ("",))[-1]
    return last.rpartition(",")[2].strip()


def is_trusted(remote: str | None, networks: tuple[Network, ...]) -> bool:
    """Whether this address is in one of the networks."""
    try:
        address = ip_address((remote or "").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
