"""Logs abonnementen whose queue RabbitMQ refuses: when it begins, at growing pauses, and when it is over.

It only remembers and logs. The router tries again every few seconds in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from uuid import UUID

from runtime.log import logger
from schemas.errors import QueueRefused

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0  # seconds between two lines

log = logger(__name__)


@dataclass(slots=True)
class _Refusal:
    since: float
    next_line: float
    pause: float = FIRST_PAUSE
    times: int = 0


class Refusals:
    """The refusals of one router. `now`: the abonnementen that are refused."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[UUID, _Refusal] = {}

    @property
    def now(self) -> Set[UUID]:
        """Those that were refused last."""
        return self._refused.keys()

    def refused(self, uuid: UUID, error: QueueRefused) -> None:
        """Note that its queue was refused (again)."""
        now = self._clock()
        if (refusal := self._refused.get(uuid)) is None:
            refusal = self._refused[uuid] = _Refusal(since=now, next_line=now)
        refusal.times += 1
        if now < refusal.next_line:
            return
        refusal.next_line = now + refusal.pause
        refusal.pause = min(2 * refusal.pause, LONGEST_PAUSE)
        log.error(
            "queue of an abonnement is unusable",
            abonnement=str(uuid),
            reason=str(error),
            times=refusal.times,
            seconds=round(now - refusal.since),
        )

    def stands(self, uuid: UUID) -> None:
        """Note that its queue is declared, with its bindings."""
        if refusal := self._refused.pop(uuid, None):
            seconds = round(self._clock() - refusal.since)
            log.warning("queue of an abonnement is usable again", abonnement=str(uuid), seconds=seconds)

    def forget(self, uuid: UUID) -> None:
        """Forget an abonnement that was removed."""
        self._refused.pop(uuid, None)
