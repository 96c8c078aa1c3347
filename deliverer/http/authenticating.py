"""Requests to callbacks that ask for more than a fixed Authorization header (schemas/callback_auth).

Owns which headers go with such a request. The client sends it, by its own rules. A callback that asks for
nothing more does not come here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from deliverer.http.client import Failure
from deliverer.http.own_tls import OwnConnections, judged
from deliverer.http.signing import headers_of
from deliverer.http.tokens import Tokens
from schemas.application import zgw_token
from schemas.callback_auth import CallbackAuth, ZgwToken

if TYPE_CHECKING:
    from deliverer.http.client import CallbackClient, Response

UNAUTHORIZED = 401


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
        """As `CallbackClient.post`. headers: as for a callback that asks for `auth` alone.

        A callback that answers 401 to an OAuth2 token is sent the same once more, with a new token. One with
        a certificate or authorities of its own has connections of its own.
        """
        end = monotonic() + timeout
        if not auth.has_own_tls:
            return await self._post(self._client, self._tokens, url, body, headers, end, auth)
        async with self._own.of(auth, within=timeout) as own:
            if isinstance(own, Failure):
                return own
            tokens = own.tokens if auth.certificate_for_token else self._tokens
            answer = await self._post(own.client, tokens, url, body, headers, end, auth)
            return judged(answer, auth, now=self._clock())

    async def _post(
        self,
        client: CallbackClient,
        tokens: Tokens,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        end: float,
        auth: CallbackAuth,
    ) -> Response | Failure:
        """By this client, with these tokens. end: monotonic seconds; a token is part of the attempt."""
        if auth.oauth2 is None:
            own = self._headers(headers, auth, body)
            return await client.post(url, body=body, headers=own, timeout=_left(end))
        answer: Response | Failure | None = None
        while True:
            token = await tokens.token(auth.oauth2, within=end - monotonic())
            if not isinstance(token, str):
                return token
            own = {**self._headers(headers, auth, body), "Authorization": f"Bearer {token}"}
            again = answer is not None
            answer = await client.post(url, body=body, headers=own, timeout=_left(end))
            if again or answer.status != UNAUTHORIZED or not tokens.refused(auth.oauth2, token):
                return answer

    async def options(
        self, url: str, *, headers: Mapping[str, str], timeout: float, auth: CallbackAuth
    ) -> Mapping[str, str] | Failure:
        """As `CallbackClient.options`, with what the callback asks for, but for a signature."""
        end = monotonic() + timeout
        if not auth.has_own_tls:
            return await self._options(self._client, self._tokens, url, headers, end, auth)
        async with self._own.of(auth, within=timeout) as own:
            if isinstance(own, Failure):
                return own
            tokens = own.tokens if auth.certificate_for_token else self._tokens
            return await self._options(own.client, tokens, url, headers, end, auth)

    async def _options(
        self,
        client: CallbackClient,
        tokens: Tokens,
        url: str,
        headers: Mapping[str, str],
        end: float,
        auth: CallbackAuth,
    ) -> Mapping[str, str] | Failure:
        own = self._headers(headers, auth.model_copy(update={"signature": None}), b"")
        if auth.oauth2 is not None:
            token = await tokens.token(auth.oauth2, within=end - monotonic())
            if not isinstance(token, str):
                return token
            own["Authorization"] = f"Bearer {token}"
        return await client.options(url, headers=own, timeout=_left(end))

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


def _left(end: float) -> float:
    return max(end - monotonic(), 0.001)
