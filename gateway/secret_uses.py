"""Notes in the registry which secret of an application was used, once a minute at most for each.

No request waits for it. What was noted and not written when a gateway ends, of some seconds, is lost.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from gateway.tokens import Credentials
from runtime.log import logger
from schemas.errors import RegistryError
from store.registry import Registry
from store.secret_uses import SecretUse, UsedSecret

EVERY = 60.0  # seconds between two notes of one secret
WRITE_INTERVAL = 5.0  # seconds between two writes
WRITE_AGAIN = 30.0  # seconds after one that failed
LONGEST_AGENT = 200  # characters

log = logger(__name__)

_Secret = tuple[str, str]  # a client_id and one of its secrets


class SecretUses:
    """`used` keeps a use, `run` writes it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._next: dict[_Secret, float] = {}  # when it is noted again
        self._kept: dict[_Secret, UsedSecret] = {}
        self._noted = asyncio.Event()

    def used(self, client: Credentials, request: web.BaseRequest, *, now: float) -> None:
        """A token with these credentials was accepted. now: Unix seconds."""
        of = (client.client_id, client.secret)
        if now < self._next.get(of, 0.0):
            return
        self._next[of] = now + EVERY
        agent = "".join(filter(str.isprintable, request.headers.get("User-Agent", "")[:LONGEST_AGENT]))
        self._kept[of] = UsedSecret(*of, SecretUse(now, request.remote or "", agent))
        self._noted.set()

    async def run(self) -> None:
        """Write the uses, at once and then at an interval, until cancelled."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(WRITE_INTERVAL if await self.write() else WRITE_AGAIN)

    async def write(self) -> bool:
        """Write those since the last time; whether it succeeded. If not, the next call writes them too."""
        kept, self._kept = self._kept, {}
        self._noted.clear()
        now = time.time()
        self._next = {of: when for of, when in self._next.items() if now < when}
        try:
            await self._registry.note_secret_uses(kept.values())
        except RegistryError as error:
            log.warning("uses of secrets not written", secrets=len(kept), reason=str(error))
            self._kept = kept | self._kept
            self._noted.set()
            return False
        return True
