"""The provider's public keys, fetched again when a token was signed with another: providers rotate them."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Iterable

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, Key, KeySet, RSAKey

from console.login.oidc.faults import WRONG, LoginFailed
from console.login.oidc.requests import ProviderRequests
from runtime.log import logger

FRESH = 3600.0
"""Seconds for which they are used without another look, so that a key that was withdrawn goes."""
PAUSE = 10.0
"""Seconds between two looks for a key that was not among them: nobody's tokens make more requests."""

log = logger(__name__)


class Keys:
    """The keys of one provider, in this process."""

    def __init__(self, requests: ProviderRequests) -> None:
        self._requests = requests
        self._set = KeySet([])
        self._fetched = self._looked_again = float("-inf")
        self._fetching = asyncio.Lock()

    async def get(self, uri: str) -> KeySet:
        """The keys at this address (`jwks_uri`). Raises LoginFailed."""
        async with self._fetching:
            if time.monotonic() - self._fetched > FRESH:
                await self._fetch(uri)
            return self._set

    async def look_again(self, uri: str, than: KeySet) -> KeySet:
        """The keys after another look, since one was not in `than`; `than` when that was a moment ago."""
        async with self._fetching:
            if self._set is than and time.monotonic() - self._looked_again > PAUSE:
                self._looked_again = time.monotonic()
                await self._fetch(uri)
                log.info("keys of the OpenID provider fetched again", kids=[key.kid for key in self._set])
            return self._set

    async def _fetch(self, uri: str) -> None:
        found = (await self._requests.get(uri)).get("keys")
        keys: list[Key] = [*_usable(found if isinstance(found, list) else [])]
        if not keys:
            raise LoginFailed(WRONG, f"{uri} has no key that can be used: RSA of 2048 bits, or EC")
        self._set, self._fetched = KeySet(keys), time.monotonic()


def _usable(found: Iterable[object]) -> Iterable[RSAKey | ECKey]:
    """Those to check signatures with. Others are for something else, or of kinds to come."""
    for each in found:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error", SecurityWarning)  # RSA of less than 2048 bits
            try:
                key = JWKRegistry.import_key(each)
            except (JoseError, SecurityWarning, ValueError, TypeError, KeyError):
                continue
        if isinstance(key, RSAKey | ECKey):
            yield key
