"""Holds, suspends and releases abonnementen: nothing is sent to the callback, and the queue keeps everything.

Suspended, because its callback says that it is gone (410): until somebody resumes it. Held, because its
callback does not work (`breaker`): until a probe succeeds (`probe`). Both are in the registry, so that every
process knows.

Its messages are requeued once the queue is not consumed any more (`Settle.hold`), without counting an
attempt, and stay there. In a wait queue they would come back and use up their attempts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from uuid import UUID

from deliverer.holding.breaker import Breaker, pause_before
from deliverer.holding.slow_start import SlowStart
from deliverer.http.client import Failure
from router.catalogue import Catalogue
from router.requests import RouterClient
from runtime.log import logger
from schemas.abonnement import Abonnement, Hold, State
from schemas.errors import BrokerUnavailable, RegistryError
from store.registry import Changes, Registry

WRITE_AGAIN = 5.0  # seconds after which a hold that could not be written is tried again

log = logger(__name__)


class Holder:
    """Suspends, holds and releases in the registry, and announces it to all processes.

    Updates `breaker` and `slow_start` at every change of the catalogue, also by other processes.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        catalogue: Catalogue,
        router: RouterClient,
        breaker: Breaker,
        slow_start: SlowStart,
        timeout: float,
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._router = router
        self._breaker = breaker
        self._slow_start = slow_start
        self._timeout = timeout
        self._one_at_a_time = asyncio.Lock()
        self._write_again = 0.0
        self._held = {uuid: each for uuid, each in catalogue.abonnementen.items() if each.state is State.HELD}
        catalogue.subscribe(self._changed)

    @property
    def held(self) -> Mapping[UUID, Abonnement]:
        """The abonnementen that are held, as far as this process knows."""
        return self._held

    def withheld(self, abonnement: UUID) -> bool:
        """Whether it exists and is held or suspended."""
        return self._state(abonnement) in (State.HELD, State.SUSPENDED)

    def _changed(self, changes: Changes) -> None:
        for abonnement in changes.abonnementen:
            was_held = self._held.pop(abonnement.uuid, None)
            self._slow_start.end(abonnement.uuid)
            if abonnement.state is State.HELD:
                self._held[abonnement.uuid] = abonnement
            if abonnement.state is State.ACTIVE and was_held is not None:
                self._breaker.released(abonnement.uuid)
                self._slow_start.begin(abonnement.uuid)
            else:
                self._breaker.forget(abonnement.uuid)
        for uuid in changes.gone_abonnementen:
            self._held.pop(uuid, None)
            self._slow_start.end(uuid)
            self._breaker.forget(uuid)

    async def suspend(self, abonnement: Abonnement, reason: str) -> bool:
        """Suspend it; whether it is suspended now, as far as this process knows.

        Not when it was changed since the request: the answer came from its former callback.
        """
        async with self._one_at_a_time:
            if self._state(abonnement.uuid) is State.SUSPENDED:
                return True  # another message of the same queue did it just now
            if self._cannot_write():
                return False
            try:
                suspended = await self._registry.set_state(
                    abonnement.uuid, State.SUSPENDED, reason, callback_url=abonnement.callback_url
                )
                await self._catalogue.refresh()
            except RegistryError as error:
                self._write_again = asyncio.get_running_loop().time() + WRITE_AGAIN
                log.warning("abonnement not suspended", abonnement=str(abonnement.uuid), reason=str(error))
                return False
        if suspended is None:
            return False
        log.warning("abonnement suspended", abonnement=str(abonnement.uuid), reason=reason)
        await self._announce(abonnement)
        return True

    async def hold(self, abonnement: Abonnement, failure: Failure) -> bool:
        """Hold it; whether it is held or suspended now.

        Not when it was changed since the request, or the registry cannot be written.
        """
        reason = failure.in_words
        now = time.time()
        hold = Hold(since=now, probes=0, next_probe=now + pause_before(0, timeout=self._timeout))
        async with self._one_at_a_time:
            if self.withheld(abonnement.uuid):
                return True
            if self._cannot_write():
                return False
            try:
                held = await self._registry.set_hold(
                    abonnement.uuid, hold, reason, before=None, callback_url=abonnement.callback_url
                )
                await self._catalogue.refresh()
            except RegistryError as error:
                self._write_again = asyncio.get_running_loop().time() + WRITE_AGAIN
                log.warning("abonnement not held", abonnement=str(abonnement.uuid), reason=str(error))
                return False
        if held is None:
            return self.withheld(abonnement.uuid)  # another process was first
        log.warning("abonnement held", abonnement=str(abonnement.uuid), reason=reason)
        await self._announce(abonnement)
        return True

    async def claim_probe(self, abonnement: Abonnement) -> Abonnement | None:
        """Claim the next probe in the registry; None when another process did. Raises RegistryError."""
        assert abonnement.hold is not None  # noqa: S101 - it is held
        probes = abonnement.hold.probes + 1
        next_probe = time.time() + pause_before(probes, timeout=self._timeout)
        return await self._change(abonnement, Hold(abonnement.hold.since, probes, next_probe))

    async def not_probed(self, abonnement: Abonnement) -> None:
        """Undo a claim of a probe that was not made: it does not count, and another follows soon."""
        assert abonnement.hold is not None  # noqa: S101 - it is held
        hold = abonnement.hold
        soon = time.time() + pause_before(0, timeout=self._timeout)
        await self._change(abonnement, Hold(hold.since, hold.probes - 1, min(hold.next_probe, soon)))

    async def still_held(self, abonnement: Abonnement, failure: Failure, *, wait: float | None) -> None:
        """Note why a probe failed. wait: the seconds after which its callback asked to be tried again."""
        assert abonnement.hold is not None  # noqa: S101 - it is held
        hold = abonnement.hold
        if wait is not None:
            hold = Hold(hold.since, hold.probes, max(hold.next_probe, time.time() + wait))
        reason = failure.in_words
        if (hold, reason) != (abonnement.hold, abonnement.state_reason):
            await self._change(abonnement, hold, reason=reason)

    async def release(self, abonnement: Abonnement) -> None:
        """End the hold: its queue is consumed again. Raises RegistryError."""
        assert abonnement.hold is not None  # noqa: S101 - it is held
        if await self._change(abonnement, None, reason="") is not None:
            seconds = round(time.time() - abonnement.hold.since)
            log.info("abonnement released", abonnement=str(abonnement.uuid), held_for_s=seconds)
            await self._announce(abonnement)

    async def _change(
        self, abonnement: Abonnement, hold: Hold | None, *, reason: str | None = None
    ) -> Abonnement | None:
        reason = abonnement.state_reason if reason is None else reason
        changed = await self._registry.set_hold(
            abonnement.uuid, hold, reason, before=abonnement.hold, callback_url=abonnement.callback_url
        )
        await self._catalogue.refresh()
        return changed

    def _state(self, abonnement: UUID) -> State | None:
        current = self._catalogue.abonnementen.get(abonnement)
        return None if current is None else current.state

    def _cannot_write(self) -> bool:
        """Whether a write failed a moment ago: the next one would wait for the same lock."""
        return asyncio.get_running_loop().time() < self._write_again

    async def _announce(self, abonnement: Abonnement) -> None:
        try:
            await self._router.announce()
        except BrokerUnavailable as error:
            # The others will read it at their next look, or see failures of their own.
            log.warning("state not announced", abonnement=str(abonnement.uuid), reason=str(error))
