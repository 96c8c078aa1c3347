"""Requests to the OpenID provider, each answered with an object of JSON; every failure is a LoginFailed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from console.login.oidc.faults import AWAY, WRONG, LoginFailed
from runtime.settings import Settings
from runtime.trust import trusting
from schemas.urls import is_loopback, read_url

TIMEOUT = 10.0
"""Seconds for one request, from connecting to the end of its answer."""
MAX_ANSWER = 1024 * 1024  # bytes


class ProviderRequests:
    """A context manager over connections to the provider. No redirect is followed, and no cookie is kept."""

    def __init__(self, settings: Settings) -> None:
        self._tls = trusting(settings.console_oidc_ca_file)
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._opened = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"Accept": "application/json", "User-Agent": "nrc"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The object at this address. Raises LoginFailed."""
        status, found = await self._answer("GET", url, headers=headers or {})
        if status != 200:
            raise _wrong(url, f"status {status}")
        return found

    async def post(self, url: str, *, body: str, headers: Mapping[str, str]) -> Mapping[str, Any]:
        """The answer to a form, also when it tells of an error (status 400 or 401). Raises LoginFailed."""
        _, found = await self._answer("POST", url, headers=headers, body=body)
        return found

    async def _answer(
        self, method: str, url: str, *, headers: Mapping[str, str], body: str | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        assert self._opened is not None  # noqa: S101 - a context manager
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._opened.request(
                    method, url, headers=headers, data=body, allow_redirects=False, proxy=_proxy(url)
                ) as answer,
            ):
                if answer.status >= 500:
                    raise LoginFailed(AWAY, f"{_told(url)}: status {answer.status}")
                text = await _read(answer, url)
                return answer.status, _object(text, url, answer.status)
        except TimeoutError:
            raise LoginFailed(AWAY, f"{_told(url)}: no answer within {TIMEOUT:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise LoginFailed(AWAY, f"{_told(url)}: {error or type(error).__name__}") from None


def _proxy(url: str) -> str | None:
    """The proxy of HTTPS_PROXY or HTTP_PROXY, but for hosts of NO_PROXY: it may be on the internet."""
    asked = URL(url)
    return None if proxy_bypass(asked.host or "") else getproxies().get(asked.scheme)


async def _read(answer: aiohttp.ClientResponse, url: str) -> bytes:
    found = bytearray()
    async for part in answer.content.iter_any():
        found += part
        if len(found) > MAX_ANSWER:
            raise _wrong(url, f"an answer of over {MAX_ANSWER} bytes")
    return bytes(found)


def _object(text: bytes, url: str, status: int) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _wrong(url, f"status {status}, and no object of JSON")
    return found


def _wrong(url: str, what: str) -> LoginFailed:
    return LoginFailed(WRONG, f"{_told(url)}: {what}")


def _told(url: str) -> str:
    return str(URL(url).with_query(None))


def endpoint(found: object, *, issuer: str) -> str:
    """An address that the discovery document names; "" for none that may be used: https, as the issuer."""
    try:
        url = read_url(found) if isinstance(found, str) else URL()
    except ValueError:
        return ""
    plain_too = issuer.startswith("http:") and is_loopback(url)
    return str(url) if url.host and (url.scheme == "https" or (url.scheme == "http" and plain_too)) else ""
