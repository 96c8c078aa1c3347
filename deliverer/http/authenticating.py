"""Requests to callbacks that ask for more than a fixed Authorization header (schemas/callback_auth).

Owns which headers go with such a request. The client sends it, by its own rules. A callback that asks for
nothing more does not come here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from deliverer.http.client import Failure, Response
from deliverer.http.own_tls import OwnConnections, judged
from deliverer.http.signing import headers_of
from deliverer.http.tokens import Tokens
from schemas.application import zgw_token
from schemas.callback_auth import CallbackAuth, ZgwToken

if TYPE_CHECKING:
    from deliverer.http.client import CallbackClient

UNAUTHORIZED = 401

T = TypeVar("T")
Bearer = dict[str, str]
"""The header with an OAuth2 token, where the callback asks for one."""


class Authenticating:
    """Posts with what a callback asks for. clock: Unix seconds."""

    def __init__(
        self,
        client: CallbackClient,
        *,
        ca_file: Path | None = None,
        certificates: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._clock = clock
        self._tokens = Tokens(client.fetch)
        self._own = OwnConnections(client, ca_file=ca_file, allowed=certificates)

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float, auth: CallbackAuth
    ) -> Response | Failure:
        """As `CallbackClient.post`. headers: as for a callback that asks for `auth` alone."""

        async def send(client: CallbackClient, bearer: Bearer, left: float) -> Response | Failure:
            own = self._headers(headers, auth, body) | bearer
            return await client.post(url, body=body, headers=own, timeout=left)

        return judged(await self._send(send, auth, timeout), auth, now=self._clock())

    async def options(
        self, url: str, *, headers: Mapping[str, str], timeout: float, auth: CallbackAuth
    ) -> Mapping[str, str] | Failure:
        """As `CallbackClient.options`, with what the callback asks for, but for a signature."""
        unsigned = auth.model_copy(update={"signature": None})

        async def send(client: CallbackClient, bearer: Bearer, left: float) -> Mapping[str, str] | Failure:
            own = self._headers(headers, unsigned, b"") | bearer
            return await client.options(url, headers=own, timeout=left)

        return await self._send(send, auth, timeout)

    async def _send(
        self,
        send: Callable[[CallbackClient, Bearer, float], Awaitable[T | Failure]],
        auth: CallbackAuth,
        timeout: float,
    ) -> T | Failure:
        """What `send` answers, called with the client, the token and the seconds left for this callback.

        One with a certificate or authorities of its own has connections of its own. A token is part of the
        attempt; one that a callback answers 401 to is replaced, once.
        """
        end = monotonic() + timeout
        if not auth.has_own_tls:
            return await _with_token(send, self._client, self._tokens, auth, end)
        async with self._own.of(auth, within=timeout) as own:
            if isinstance(own, Failure):
                return own
            tokens = own.tokens if auth.certificate_for_token else self._tokens
            return await _with_token(send, own.client, tokens, auth, end)

    async def close(self) -> None:
        """Ask for no more tokens, and close connections of their own."""
        await self._tokens.close()
        await self._own.close()

    def _headers(self, given: Mapping[str, str], auth: CallbackAuth, body: bytes) -> dict[str, str]:
        headers = {name: value for name, value in given.items() if name != "Authorization" or value}
        if auth.replaces_auth:
            headers.pop("Authorization", None)
        if auth.zgw is not None:
            headers["Authorization"] = f"Bearer {self._zgw_token(auth.zgw)}"
        if auth.header is not None:
            headers[auth.header.name] = auth.header.value
        if auth.signature is not None:
            now = int(self._clock())
            # A test message has no id of its own.
            message = headers.get("webhook-id") or f"test_{uuid4().hex}"
            headers |= headers_of(auth.signature.keys(now=now), message=message, now=now, body=body)
        return headers

    def _zgw_token(self, of: ZgwToken) -> str:
        return zgw_token(
            of.client_id,
            of.secret,
            now=int(self._clock()),
            user_id=of.user_id,
            user_representation=of.user_representation,
        )


async def _with_token(
    send: Callable[[CallbackClient, Bearer, float], Awaitable[T | Failure]],
    client: CallbackClient,
    tokens: Tokens,
    auth: CallbackAuth,
    end: float,
) -> T | Failure:
    """end: monotonic seconds."""
    if auth.oauth2 is None:
        return await send(client, {}, _left(end))
    again = False
    while True:
        token = await tokens.token(auth.oauth2, within=end - monotonic())
        if not isinstance(token, str):
            return token
        answer = await send(client, {"Authorization": f"Bearer {token}"}, _left(end))
        refused = isinstance(answer, Response | Failure) and answer.status == UNAUTHORIZED
        if again or not refused or not tokens.refused(auth.oauth2, token):
            return answer
        again = True


def _left(end: float) -> float:
    return max(end - monotonic(), 0.001)
