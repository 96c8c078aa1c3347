"""Brings what waits in the ledger for its turn into its queue again, once the one before it has ended.

A message that waits for an earlier one is RETURNING in the ledger, in its next round, and not in RabbitMQ. It
is published here in the same round. Where that is not done (this process was killed, or knew of nothing
that waits) the keeper publishes it after a while, as all that is RETURNING for too long; a second copy of
a round that ended is dropped by the deliverer that gets it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile

from ledger.keeper.giving_back.message import message_of
from ledger.keeper.giving_back.publishing import notificaties_of, publish_all
from ledger.reopening import ReopenedLedger
from ledger.values import Delivery, Key, Outcome, State
from ledger.writer import Writer
from router.publishing import Publisher
from runtime.log import logger
from schemas.errors import LedgerError
from schemas.kanaal import Kanaal

AT_ONCE = 20
"""Deliveries of a lane that are brought back together: later ones follow when these have ended."""

WITHIN = 2.0  # seconds for a commit to the ledger

log = logger(__name__)


class Releasing:
    """Publishes through `publisher`. kanalen: by naam, as they are now."""

    def __init__(
        self,
        ledger: ReopenedLedger,
        writer: Writer,
        publisher: Publisher,
        *,
        kanalen: Callable[[], Mapping[str, Kanaal]],
    ) -> None:
        self._ledger = ledger
        self._writer = writer
        self._publisher = publisher
        self._kanalen = kanalen
        self._under_way: set[Key] = set()

    async def after(self, key: Key, *, most: int = AT_ONCE) -> int:
        """Bring back those that wait directly behind this one, which ended; returns how many."""
        try:
            # What was noted before goes with this commit, the outcome of this one too: what waits from now
            # on looks once more, and sees it.
            await self._writer.add(within=WITHIN)
            found = await self._ledger.ledger.behind(key, limit=most)
        except LedgerError:
            return 0
        # Behind one that does not wait (it is in its queue, or in hand) others follow when that has ended.
        return await self.bring([each.delivery for each in takewhile(lambda each: each.waits, found)])

    async def bring(self, waiting: Sequence[Delivery]) -> int:
        """Bring these back into their queue; returns how many. One that is being brought back is left out."""
        rows = [row for row in waiting if row.key not in self._under_way]
        if not rows:
            return 0
        self._under_way |= {row.key for row in rows}
        try:
            # As of now they do not wait any more: so no other process brings them back too.
            await self._writer.add(*(_outcome(row, State.RETURNING) for row in rows), within=WITHIN)
            notificaties = await notificaties_of(self._ledger.ledger, rows)
            known = [
                (row, found)
                for row in rows
                if (found := notificaties[row.key.notificatie]) is not None and found.body is not None
            ]
            messages = [message_of(row, found, self._kanalen().get(found.kanaal)) for row, found in known]
            faults = await publish_all(self._publisher, messages)
            sent = [row for (row, _), fault in zip(known, faults, strict=True) if fault is None]
            self._writer.note(*(_outcome(row, State.PENDING) for row in sent))
        except LedgerError:
            return 0
        finally:
            self._under_way -= {row.key for row in rows}
        log.debug("brought back in order", abonnement=str(rows[0].key.abonnement), count=len(sent))
        return len(sent)


def _outcome(row: Delivery, state: State) -> Outcome:
    at = time.time_ns() // 1_000_000
    return Outcome(row.key, state, round=row.round, attempts=row.attempts, at=at, waits=True)
