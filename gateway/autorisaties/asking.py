"""One question to the Autorisaties API: what does it know of this client id?

Owns the connection, the token and every bound. Only `<root>/applicaties/consumer` is ever asked for, never an
address out of an answer or a notificatie. No redirect is followed, no cookie kept, no proxy variable used.
"""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from types import TracebackType
from typing import Self

import aiohttp
import orjson

from deliverer.http.connector import Connector
from deliverer.http.guard import Policy
from gateway.autorisaties.answers import UNKNOWN, Found, Nonsense, read_applicatie
from runtime.settings import Settings
from runtime.trust import trusting
from schemas.application import zgw_token

TIMEOUT = 5.0  # seconds from connecting to the end of an answer
MAX_ANSWER = 4 * 1024 * 1024  # bytes; Open Zaak has a line for each zaaktype of a catalogus
PATH = "/applicaties/consumer"


class Outcome(StrEnum):
    """How a question went."""

    FOUND = "found"
    UNKNOWN = "unknown"
    """The AC has no applicatie with this client id."""
    REFUSED = "refused"
    """It refused our own client: 401 or 403."""
    AWAY = "away"
    """No answer, or one that says that it cannot answer now."""
    WRONG = "wrong"
    """An answer that is none of an Autorisaties API, or of a fault in it."""


class AcFailed(Exception):
    """The AC told nothing about a client. The text says why, for operators.

    everyone: whether it concerns all clients, as far as can be seen.
    """

    def __init__(self, outcome: Outcome, reason: str, *, everyone: bool) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.everyone = everyone


class AskingAc:
    """Asks the AC of these settings. Open it with `async with`."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.ac_url + PATH
        self._client_id = settings.ac_client_id
        self._secret = settings.ac_client_secret
        self._tls = trusting(settings.ac_ca_file)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # The guard of callbacks; the address is the operator's own, so that only what is never right is
            # refused.
            connector=Connector(Policy(allow_loopback=True), ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            # One question a minute for each client: no connection is worth keeping.
            headers={"Accept": "application/json", "User-Agent": "nrc", "Connection": "close"},
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, client_id: str) -> Found:
        """What the AC says of this client id. Raises AcFailed, within TIMEOUT."""
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body = await self._answer(client_id)
        except TimeoutError:
            raise AcFailed(Outcome.AWAY, f"no answer within {TIMEOUT:g} s", everyone=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise AcFailed(Outcome.AWAY, reason, everyone=True) from None
        return _read(status, body, client_id)

    async def _answer(self, client_id: str) -> tuple[int, bytes]:
        async with self._session.get(
            self.url,
            params={"clientId": client_id},
            headers={"Authorization": f"Bearer {self._token()}"},
            allow_redirects=False,
        ) as answer:
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > MAX_ANSWER:
                    reason = f"an answer of over {MAX_ANSWER} bytes"
                    raise AcFailed(Outcome.WRONG, reason, everyone=False)
            return answer.status, bytes(body)

    def _token(self) -> str:
        return zgw_token(
            self._client_id,
            self._secret,
            now=int(time.time()),
            user_id="nrc",
            user_representation="nrc",
        )


def _read(status: int, body: bytes, client_id: str) -> Found:
    """What an answer says. Raises AcFailed."""
    content = _json(body)
    if status == 404:
        # Only a problem of the API itself: a proxy or a wrong root answers 404 too.
        if isinstance(content, dict) and "status" in content:
            return UNKNOWN
        reason = "status 404, and no problem of an Autorisaties API; is NRC_AC_URL its root?"
        raise AcFailed(Outcome.WRONG, reason, everyone=True)
    if status in (401, 403):
        told = content.get("code") or content.get("detail") if isinstance(content, dict) else ""
        reason = f"status {status} {told or ''}".strip()[:200]
        raise AcFailed(Outcome.REFUSED, reason, everyone=True)
    if status in (429, 502, 503, 504):
        raise AcFailed(Outcome.AWAY, f"status {status}", everyone=True)
    if status != 200:
        # 500 is what Open Zaak answers when two applicaties have this client id.
        raise AcFailed(Outcome.WRONG, f"status {status}", everyone=status != 500)
    if isinstance(content, list):
        # The standard's document has a list here, its implementations answer an object.
        if not content:
            return UNKNOWN
        if len(content) > 1:
            raise AcFailed(Outcome.WRONG, f"{len(content)} applicaties have this client id", everyone=False)
        content = content[0]
    if not isinstance(content, dict):
        raise AcFailed(Outcome.WRONG, "status 200, and no JSON object", everyone=True)
    try:
        return read_applicatie(content, client_id)
    except Nonsense as error:
        raise AcFailed(Outcome.WRONG, str(error), everyone=False) from None


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except ValueError:
        return None
