"""What becomes of a message when something here raises an exception that nothing foresaw.

The request to a callback has an answer in any case (`Deliverer.send`); this is for all else on the path of a
message: its preparation, its turn, consolidating, settling. What can be blamed on the message counts as a
failed attempt, so that it comes back by the ladder, is in the ledger, and ends. What the registry, the ledger
or RabbitMQ did, and what cannot be settled so either, goes back into its queue, with a warning of the health.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from time import monotonic
from uuid import UUID

from deliverer.attempting.settle import Delivery, Origin
from deliverer.outcomes.account import Account
from runtime.amqp import AMQP_ERRORS, describe
from runtime.log import logger
from schemas.errors import BrokerError, LedgerError, RegistryError

PAUSE = 5.0  # seconds before a message is requeued: at once, it would come in again and again
WARNED_FOR = 60.0  # seconds that the last one is a warning
NOT_THE_MESSAGE = (RegistryError, LedgerError, BrokerError, MemoryError, *AMQP_ERRORS)
"""Exceptions of what a message needs, and not of the message."""

log = logger(__name__)


class Faults:
    """failed: counts an exception as a failed attempt of this message, and settles it."""

    def __init__(self, failed: Callable[[Delivery, Exception], Awaitable[None]], account: Account) -> None:
        self._failed = failed
        self._account = account
        self._last, self._at = "", 0.0

    @property
    def why_not(self) -> str:
        """The last fault without a counted attempt, while it is recent, in a line; else ""."""
        return self._last if monotonic() - self._at < WARNED_FOR else ""

    async def settle(
        self, error: Exception, delivery: Delivery | None, *, abonnement: UUID, origin: Origin, tag: int
    ) -> None:
        """Settle the message of which the delivery raised this, unless it was settled before that.

        delivery: None when the message could not be read. To be called where `error` is being handled.
        """
        with self._account.in_hand(delivery.key) if delivery is not None else nullcontext():
            await self._settle(error, delivery, abonnement=abonnement, origin=origin, tag=tag)

    async def _settle(
        self, error: Exception, delivery: Delivery | None, *, abonnement: UUID, origin: Origin, tag: int
    ) -> None:
        facts = {"abonnement": str(abonnement)}
        if delivery is not None:
            facts["notificatie"] = delivery.notificatie
        log.exception("delivery failed unexpectedly", **facts)
        if delivery is not None and not origin.is_settled(tag) and not isinstance(error, NOT_THE_MESSAGE):
            try:
                await self._failed(delivery, error)
            except Exception as another:
                log.exception("delivery failed unexpectedly", **facts)
                error = another
        if origin.is_settled(tag):
            return
        self._last = f"a message of {abonnement} was requeued: {describe(error)}"
        self._at = monotonic()
        await asyncio.sleep(PAUSE)
        self._at = monotonic()
        await origin.requeue(tag)
