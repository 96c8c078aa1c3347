"""HTTP to a callback: one POST, its status or why there is none. For deliveries and for the callback check.

Owns what is sent, and asks the guard about every address before it connects to that very address, so that no
second lookup can replace it. It follows no redirect, keeps no cookie, ignores proxy variables, and sends a
POST twice only when a reused connection broke before the first byte of an answer. Whether an answer is a
success, and what follows from a failure, is decided in `decide`.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import aiohttp
from aiohttp import (
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)
from yarl import URL

from deliverer.http.connector import AnsweredUnasked, Connector, UsedConnectionBroke, new_connection
from deliverer.http.guard import AddressRefused, Policy, Refusal, Rule, other_spelling, refusal
from deliverer.http.tls_faults import class_of, detail_of, tls_fault_of
from router.history import HOPS
from runtime.open_files import is_shortage
from runtime.settings import Settings
from runtime.trust import trusting

if TYPE_CHECKING:
    from deliverer.http.authenticating import Authenticating
    from schemas.callback_auth import CallbackAuth

USER_AGENT = f"nrc/{version('nrc')}"
MAX_RESPONSE_BODY = 64 * 1024  # bytes read, so that the connection can be reused
BODY_TIMEOUT = 1.0  # seconds for it; the message is delivered already, and its place is free
MAX_RESPONSE_LINE = 64 * 1024  # bytes of one line of its header; a large cookie must not fail a delivery
MAX_DETAIL = 200  # characters
LOOP_DETECTED = 508

_PROPER = r"A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%"
_WRITTEN_PROPERLY = re.compile(f"[{_PROPER}]+")
_NOT_PROPER = re.compile(f"[^{_PROPER}]+")
_SERVER = re.compile(r"((?:[^:/?#]*://[^/?#]*)?)(.*)", re.DOTALL)


class FailureClass(StrEnum):
    """Why a delivery failed; used in logs, the ledger and the `nrc-failures` header."""

    HTTP_STATUS = "http_status"
    REDIRECT = "redirect"
    TIMEOUT = "timeout"
    DNS_ERROR = "dns_error"
    CONNECTION_REFUSED = "connection_refused"
    TLS_ERROR = "tls_error"
    SERVER_CERTIFICATE = "server_certificate"
    """The callback's certificate has ended, is for another name, or is of no authority that is trusted."""
    CLIENT_CERTIFICATE_REFUSED = "client_certificate_refused"
    """The callback's server wants a client certificate, and takes not the one it got, or got none."""
    CLIENT_CERTIFICATE_EXPIRED = "client_certificate_expired"
    """No connection came about, and the client certificate is out of its time."""
    CONNECTION_ERROR = "connection_error"
    """Reset, closed before a status, unreachable, or an answer that is not HTTP."""
    INVALID_REQUEST = "invalid_request"
    """No HTTP request can be made with this callbackUrl or auth."""
    NO_MAPPING = "no_mapping"
    """The abonnement gets CloudEvents by a mapping that is not there (any more)."""
    ADDRESS_REFUSED = "address_refused"
    """Nothing is sent there, by the guard or NRC_CALLBACK_REQUIRE_HTTPS."""
    LOOP = "loop"
    """The callback is an NRC that refuses the notificatie, which went through too many of them (508)."""
    TOKEN_UNREACHABLE = "token_unreachable"  # noqa: S105 - a class of failure
    """The callback wants an OAuth2 token, and the token endpoint is away or refused by the guard."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105
    """The token endpoint refuses the client."""
    TOKEN_INVALID = "token_invalid"  # noqa: S105
    """The token endpoint answers something else than a token."""
    QUEUE_FULL = "queue_full"
    """RabbitMQ refuses it for the queue of its consumer (AMQP direct), which is full or has no leader."""
    QUEUE_MISSING = "queue_missing"
    """The queue of its consumer (AMQP direct) is not there; the router declares it again."""
    QUEUE_UNAVAILABLE = "queue_unavailable"
    """RabbitMQ works, but confirms nothing for the queue of its consumer (AMQP direct): it has no leader."""
    UNEXPECTED = "unexpected"
    """A fault of ours: an exception that nothing here foresaw. The log has its traceback."""
    SHORTAGE = "shortage"
    """No attempt, and not the callback's fault: this process has no file, memory or thread left for a
    request, or RabbitMQ takes no messages (AMQP direct)."""


@dataclass(frozen=True, slots=True)
class Response:
    """The callback answered. retry_after: the text of that header, if any.

    loop: it is an NRC, which refuses a notificatie that loops.
    """

    status: int
    retry_after: str | None = None
    loop: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """There was no 2xx. detail: one line for people; status: the answer's, if there was one.

    rule: of ADDRESS_REFUSED, which rule of the guard.
    """

    kind: FailureClass
    detail: str
    status: int | None = None
    rule: Rule | None = None

    @property
    def in_words(self) -> str:
        """Class and detail, for people."""
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer with its body."""

    status: int
    body: bytes


class _Request(ClientRequest):
    """Sends only the headers that it was given, in latin-1, besides Host and Content-Length."""

    DEFAULT_HEADERS = {}  # noqa: RUF012 - as in the library

    async def write_bytes(self, writer: Any, conn: Any, content_length: int | None = None) -> None:
        """As the library's, which writes headers in UTF-8."""
        if (head := writer._headers_buf) is not None and not head.isascii():
            writer._headers_buf = head.decode().encode("latin-1")
        await super().write_bytes(writer, conn, content_length)


class CallbackClient:
    """Posts to callbacks over connections that it keeps and reuses. Open it with `async with`.

    policy: of the guard. require_https: for `post`. tls: how certificates are checked; None for the system's
    authorities. ca_file: of authorities beside the system's, for callbacks with a client certificate;
    certificates: whether there may be any. The caller limits how many requests run at once.
    """

    def __init__(
        self,
        *,
        policy: Policy | None = None,
        require_https: bool = False,
        tls: ssl.SSLContext | None = None,
        ca_file: Path | None = None,
        certificates: bool = True,
    ) -> None:
        self._policy = policy or Policy()
        self._require_https = require_https
        self._tls = tls
        self._ca_file = ca_file
        self._certificates = certificates
        self._session: ClientSession

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The client that these settings ask for."""
        return cls(
            policy=Policy.of(settings),
            require_https=settings.callback_require_https,
            tls=trusting(settings.callback_ca_file),
            ca_file=settings.callback_ca_file,
            certificates=settings.callback_certificates,
        )

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            connector=Connector(self._policy, ssl=self._tls or True),
            request_class=_Request,
            cookie_jar=DummyCookieJar(),
            # No limits of the library's own: they are rounded to whole seconds.
            timeout=ClientTimeout(total=None, sock_connect=None),
            headers={"User-Agent": USER_AGENT},
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_RESPONSE_LINE,
            max_field_size=MAX_RESPONSE_LINE,
            max_headers=1000,
            read_bufsize=MAX_RESPONSE_BODY,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "_authenticating" in self.__dict__:
            await self._authenticating.close()
        await self._session.close()

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,
        auth: CallbackAuth | None = None,
    ) -> Response | Failure:
        """The answer to one POST of JSON, or why there was none. Raises nothing but cancellation.

        timeout: seconds from connecting until the answer's headers; the rest of them is for its body, whose
        length and end do not matter. auth: what the callback asks for beyond these headers.
        """
        if auth is not None:
            return await self._authenticating.post(
                url, body=body, headers=headers, timeout=timeout, auth=auth
            )
        if refused := self._not_https(url):
            return refused
        headers = {"Content-Type": "application/json", **headers}
        return await self._send("POST", url, body=body, headers=headers, timeout=timeout)

    async def fetch(
        self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float, most: int
    ) -> Fetched | Failure:
        """The whole answer to one POST, by the same rules; none when its body has more than `most` bytes.

        timeout: seconds for all of it.
        """
        if refused := self._not_https(url):
            return refused
        response: ClientResponse | None = None
        found = bytearray()
        try:
            _check_latin_1(headers)
            async with asyncio.timeout(timeout):
                response = await self._request("POST", _address(url), body=body, headers=headers)
                async for chunk in response.content.iter_any():
                    found += chunk
                    if len(found) > most:
                        return Failure(
                            FailureClass.CONNECTION_ERROR, f"the answer is larger than {most} bytes"
                        )
            return Fetched(response.status, bytes(found))
        except TimeoutError:
            return Failure(FailureClass.TIMEOUT, f"no answer within {timeout:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure(error)
        finally:
            if response is not None and not response.closed:
                response.close()

    def _not_https(self, url: str) -> Failure | None:
        """The refusal of a URL by NRC_CALLBACK_REQUIRE_HTTPS."""
        if self._require_https and not url.lower().startswith("https:"):
            return _refused(Refusal(Rule.HTTPS, url.partition(":")[0][:20]))
        return None

    def apart(self, tls: ssl.SSLContext) -> CallbackClient:
        """Another client by the same rules, whose connections are made by this context. Not opened yet."""
        return CallbackClient(policy=self._policy, require_https=self._require_https, tls=tls)

    @functools.cached_property
    def _authenticating(self) -> Authenticating:
        """Made for the first callback that needs it."""
        from deliverer.http.authenticating import Authenticating

        return Authenticating(self, ca_file=self._ca_file, certificates=self._certificates)

    async def get(self, url: str, *, timeout: float) -> Response | Failure:
        """The same for one GET, of a kanaal's documentatieLink."""
        return await self._send("GET", url, body=None, headers={}, timeout=timeout)

    async def options(
        self, url: str, *, headers: Mapping[str, str], timeout: float, auth: CallbackAuth | None = None
    ) -> Mapping[str, str] | Failure:
        """The headers of the answer to one OPTIONS, of those in responses.PASSED_ON, whatever its status.

        timeout, auth: as of `post`; it is not signed.
        """
        if auth is not None:
            return await self._authenticating.options(url, headers=headers, timeout=timeout, auth=auth)
        if refused := self._not_https(url):
            return refused
        seen: dict[str, str] = {}
        answer = await self._send(
            "OPTIONS", url, body=None, headers=headers, timeout=timeout, see=seen.update
        )
        return answer if isinstance(answer, Failure) else seen

    def known_refusal(self, url: str) -> Failure | None:
        """The refusal that `post` would return without a lookup: the URL has an address, not a name."""
        try:
            found = refusal(ip_address(_address(url).raw_host or ""), self._policy)
        except AddressRefused as error:
            found = error.refusal
        except ValueError:
            return None
        return _refused(found) if found else None

    async def _send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
        see: Callable[[Mapping[str, str]], None] | None = None,
    ) -> Response | Failure:
        answer: Response | None = None
        response: ClientResponse | None = None
        try:
            _check_latin_1(headers)
            async with asyncio.timeout(timeout):
                response = await self._request(method, _address(url), body=body, headers=headers)
                found = response.headers
                loop = response.status == LOOP_DETECTED and HOPS in found
                answer = Response(response.status, found.get("Retry-After"), loop)
                if see is not None:
                    see(found)
                if not response.closed:
                    async with asyncio.timeout(BODY_TIMEOUT):
                        await _read_away(response)
        except TimeoutError:
            return answer or Failure(FailureClass.TIMEOUT, f"no status within {timeout:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return answer or _failure(error)
        finally:
            if response is not None and not response.closed:
                response.close()
        return answer

    async def _request(
        self, method: str, url: URL, *, body: bytes | None, headers: Mapping[str, str]
    ) -> ClientResponse:
        """The answer's head; sent once more, on a new connection, when a reused one broke before it."""
        request = functools.partial(
            self._session.request, method, url, data=body, headers=headers, allow_redirects=False
        )
        try:
            return await request()
        except UsedConnectionBroke:
            # The server closed it between two requests, and may not have seen this one.
            before = new_connection.set(True)
            try:
                return await request()
            finally:
                new_connection.reset(before)


@lru_cache(maxsize=4096)
def _address(url: str) -> URL:
    """The URL as it was given, with characters quoted that a URL may not have.

    yarl would change spellings that a callback may compare (%7E, %2F, `..`); here it changes the host only.
    Raises AddressRefused for a host of digits that is no address, ValueError for what is no URL.
    """
    if _WRITTEN_PROPERLY.fullmatch(url) is None:
        server, rest = _SERVER.fullmatch(url).groups()  # type: ignore[union-attr]  # it matches all
        if server and _WRITTEN_PROPERLY.fullmatch(server) is None:
            server = str(URL(server)).removesuffix("/")
        url = server + _NOT_PROPER.sub(lambda found: quote(found[0], safe=""), rest)
    address = URL(url, encoded=True)
    if found := other_spelling(address.raw_host or ""):
        raise AddressRefused(found)
    return address


def _check_latin_1(headers: Mapping[str, str]) -> None:
    """Raise ValueError for a value that cannot be sent; later it would leave a request unfinished."""
    for value in headers.values():
        if not value.isascii():
            value.encode("latin-1")


async def _read_away(response: ClientResponse) -> None:
    """Read the body to its end, so that the connection can be reused, but no more than the limit."""
    left = MAX_RESPONSE_BODY
    async for chunk in response.content.iter_any():
        left -= len(chunk)
        if left <= 0:
            return


def _refused(refusal: Refusal) -> Failure:
    return Failure(FailureClass.ADDRESS_REFUSED, str(refusal)[:MAX_DETAIL], rule=refusal.rule)


def _failure(error: Exception) -> Failure:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, AddressRefused):
        return _refused(cause.refusal)
    return Failure(FailureClass.SHORTAGE if is_shortage(cause) else _kind(error), _detail(error))


def _kind(error: Exception) -> FailureClass:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return FailureClass.DNS_ERROR
        case _ if (fault := tls_fault_of(error)) is not None:
            return FailureClass(class_of(fault))
        case aiohttp.ClientSSLError():
            return FailureClass.TLS_ERROR
        case OSError(errno=errno.ECONNREFUSED):
            return FailureClass.CONNECTION_REFUSED
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return FailureClass.INVALID_REQUEST
        case aiohttp.ClientError() | OSError():
            return FailureClass.CONNECTION_ERROR
        case _:
            return FailureClass.INVALID_REQUEST


def _detail(error: Exception) -> str:
    if (fault := tls_fault_of(error)) is not None:
        return " ".join(detail_of(fault).split())[:MAX_DETAIL]
    match error:
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno or 0
            # The event loop's own text repeats the address; errors of a lookup have numbers below zero.
            reason = os.strerror(number) if number > 0 else str(error.os_error)
            text = f"{error.host}:{error.port}: {reason}"
        case AnsweredUnasked():
            text = "sent an answer, or closed, before it was asked anything"
        case aiohttp.ServerDisconnectedError():
            text = "closed before a status"
        case aiohttp.ClientResponseError():
            text = f"the answer is not HTTP: {error.message}"
        case OSError(strerror=str(reason)):
            text = reason
        case _:
            # Not its text, which may hold the refused value, such as a secret.
            text = type(error).__name__
    return " ".join(text.split())[:MAX_DETAIL]
