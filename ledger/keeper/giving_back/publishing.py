"""Publishing deliveries, each into the queue of its abonnement: what the keeper and commands do alike.

What it means that RabbitMQ took one, or did not, is its caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from ledger.ledger import Ledger
from ledger.values import Delivery, Notificatie
from router.publishing import Outgoing, Publisher
from schemas.errors import BrokerError


async def notificaties_of(ledger: Ledger, rows: Iterable[Delivery]) -> Mapping[UUID, Notificatie | None]:
    """Their notificaties with their bodies, as far as the ledger has them. Raises LedgerError."""
    return {id_: await ledger.notificatie(id_) for id_ in {row.key.notificatie for row in rows}}


async def publish_all(publisher: Publisher, messages: Sequence[Outgoing]) -> list[BrokerError | None]:
    """Why RabbitMQ did not take each; None where it confirmed. Begun in this order, and so in each queue."""

    async def publish(message: Outgoing) -> BrokerError | None:
        try:
            await publisher.publish(message)
        except BrokerError as error:
            return error
        return None

    return await asyncio.gather(*map(publish, messages))
