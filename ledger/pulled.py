"""The second home of a notificatie for abonnementen without a queue, while the ledger does not take it.

Such a delivery is a row of the ledger and nothing else. Where a gateway's commit is late, RabbitMQ holds it
meanwhile, in `nrc.undeliverable`, out of which the keeper takes all into the ledger: what that has by then
changes nothing.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime
from uuid import UUID

from ledger.keeper.giving_back.publishing import publish_all
from ledger.values import Entry
from router import names
from router.history import HOPS, History, built_anew
from router.publishing import Publisher


async def keep_beside(publisher: Publisher, entry: Entry, pulled: Container[UUID]) -> None:
    """Return once RabbitMQ has this entry for those of `pulled` that it matches. Raises BrokerError."""
    messages = [
        built_anew(
            names.UNDELIVERABLE,
            abonnement=abonnement,
            body=entry.body,
            message_id=str(entry.id),
            timestamp=datetime.fromtimestamp(entry.received / 1000, UTC),
            kept={HOPS: str(entry.hops)} if entry.hops else {},
            history=History(),
        )
        for abonnement in entry.matched
        if abonnement in pulled
    ]
    for fault in await publish_all(publisher, messages):
        if fault is not None:
            raise fault
