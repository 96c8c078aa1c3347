"""Requests to callbacks that ask for more than a fixed Authorization header (schemas/callback_auth.py).

Owns which headers go with such a request. The client sends it, by its own rules. A callback that asks for
nothing more does not come here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from deliverer.http.signing import headers_of
from deliverer.http.tokens import Tokens
from schemas.application import zgw_token
from schemas.callback_auth import CallbackAuth, ZgwToken

if TYPE_CHECKING:
    from deliverer.http.client import CallbackClient, Failure, Response

UNAUTHORIZED = 401


class Authenticating:
    """Posts with what a callback asks for. clock: Unix seconds."""

    def __init__(self, client: CallbackClient, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock
        self._tokens = Tokens(client.fetch)

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float, auth: CallbackAuth
    ) -> Response | Failure:
        """As `CallbackClient.post`. headers: as for a callback that asks for `auth` alone.

        A callback that answers 401 to an OAuth2 token is sent the same once more, with a new token.
        """
        if auth.oauth2 is None:
            own = self._headers(headers, auth, body)
            return await self._client.post(url, body=body, headers=own, timeout=timeout)
        # The token is part of the attempt, which takes no longer for it.
        end = monotonic() + timeout
        answer: Response | Failure | None = None
        while True:
            token = await self._tokens.token(auth.oauth2, within=end - monotonic())
            if not isinstance(token, str):
                return token
            own = {**self._headers(headers, auth, body), "Authorization": f"Bearer {token}"}
            again = answer is not None
            answer = await self._client.post(
                url, body=body, headers=own, timeout=max(end - monotonic(), 0.001)
            )
            if again or answer.status != UNAUTHORIZED or not self._tokens.refused(auth.oauth2, token):
                return answer

    async def close(self) -> None:
        """Ask for no more tokens."""
        await self._tokens.close()

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
