"""Publishes deliveries, each into the queue of its abonnement, for the keeper and for commands.

What a confirm or a refusal means is for the caller to decide.
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
    """Publish in this order; returns for each why RabbitMQ did not take it, None where it confirmed."""

    async def publish(message: Outgoing) -> BrokerError | None:
        try:
            await publisher.publish(message)
        except BrokerError as error:
            return error
        return None

    return await asyncio.gather(*map(publish, messages))
