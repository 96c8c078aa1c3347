"""Keeps in the registry what the Autorisaties API last said of each client.

So that a gateway which starts while that is away judges as the others do. No request waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from gateway.autorisaties.answers import as_text, of_text
from gateway.autorisaties.rights import LAST_KNOWN, Rights
from runtime.log import logger
from schemas.application import Application
from schemas.errors import RegistryError
from store.registry import AcAnswer, Registry

WRITE_INTERVAL = 1.0  # seconds between two writes
WRITE_AGAIN = 30.0  # seconds after one that failed

log = logger(__name__)


class Keeping:
    """`load` at the start, `run` from then on."""

    def __init__(self, rights: Rights, registry: Registry) -> None:
        self._rights = rights
        self._registry = registry
        self._answers: dict[str, AcAnswer] = {}  # that are to be written
        self._gone: set[str] = set()

    async def load(self, applications: Mapping[str, Application]) -> None:
        """Tell `rights` what was kept of these applications in the last day. Raises RegistryError."""
        now = time.time()
        for each in await self._registry.ac_answers():
            known = applications.get(each.client_id)
            found, age = of_text(each.answer), max(0.0, now - each.at)
            if known is not None and known.scopes_from_ac and found is not None and age < LAST_KNOWN:
                self._rights.known_before(each.client_id, found, age=age)

    async def run(self) -> None:
        """Write what is new, until cancelled."""
        while True:
            await self._rights.unkept.wait()
            await asyncio.sleep(WRITE_INTERVAL if await self.write() else WRITE_AGAIN)

    async def write(self) -> bool:
        """Write what is new; whether it succeeded. If not, the next call writes it too."""
        now = time.time()
        for client_id, found, age in self._rights.to_keep():
            if found is None:
                self._answers.pop(client_id, None)
                self._gone.add(client_id)
            else:
                self._gone.discard(client_id)
                self._answers[client_id] = AcAnswer(client_id, now - age, as_text(found))
        try:
            await self._registry.note_ac_answers(self._answers.values(), gone=self._gone)
        except RegistryError as error:
            log.warning("answers of the Autorisaties API not kept", reason=str(error))
            self._rights.unkept.set()
            return False
        self._answers.clear()
        self._gone.clear()
        return True
