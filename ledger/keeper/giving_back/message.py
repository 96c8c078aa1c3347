"""A delivery of the ledger as a message for the queue of its abonnement. Pure.

As the gateway published it, and with what has become of it since (router/history.py).
"""

from __future__ import annotations

from datetime import UTC, datetime

from ledger.values import Delivery, Notificatie
from router.history import BATCH, CORRELATION, HOPS, TRACEPARENT, History, built_anew, resent_header
from router.publishing import Outgoing
from router.routing import header_name, header_value
from schemas.fields import normalise
from schemas.kanaal import Kanaal
from schemas.notificatie import kenmerken_of

DEFAULT_EXCHANGE = ""
"""Routes to a queue by its name. Where that is missing the publish fails (Unroutable); `nrc.return` would
route the message to its alternate exchange, as undeliverable, and RabbitMQ would confirm it."""


def message_of(delivery: Delivery, notificatie: Notificatie, kanaal: Kanaal | None) -> Outgoing:
    """The message that gives this delivery back. notificatie: with its body. kanaal: None when it is gone."""
    assert notificatie.body is not None  # noqa: S101 - without a body nothing is given back
    kept = _kenmerken(notificatie.body, kanaal) if kanaal is not None else {}
    if notificatie.hops:
        kept[HOPS] = str(notificatie.hops)
    if notificatie.trace:
        kept[TRACEPARENT] = notificatie.trace
    if notificatie.batch:
        kept[BATCH] = notificatie.batch
    if notificatie.correlation:
        kept[CORRELATION] = notificatie.correlation
    if delivery.again_at is not None:
        # Its waiting time is counted from here, not from its acceptance.
        kept |= resent_header(datetime.fromtimestamp(delivery.again_at / 1000, UTC))
    return built_anew(
        DEFAULT_EXCHANGE,
        abonnement=delivery.key.abonnement,
        body=notificatie.body,
        message_id=str(notificatie.id),
        timestamp=datetime.fromtimestamp(notificatie.received / 1000, UTC),
        kept=kept,
        history=History(
            attempts=delivery.attempts,
            due=delivery.next_at,
            round=delivery.round,
            replay=delivery.key.replay,
        ),
    )


def _kenmerken(body: bytes, kanaal: Kanaal) -> dict[str, str]:
    """The headers of its kenmerken, as router/routing.py:route makes them."""
    values = {normalise(name): value for name, value in (kenmerken_of(body) or {}).items()}
    return {header_name(slot): header_value(values[slot]) for slot in kanaal.slots if slot in values}
