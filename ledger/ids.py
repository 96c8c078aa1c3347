"""The ids of notificaties: UUIDs of version 7 (RFC 9562), so that their order is that of acceptance."""

from __future__ import annotations

import os
import time
from uuid import NAMESPACE_OID, UUID, uuid5

SKEW = 600_000  # milliseconds by which an id and `received` may differ
_MILLISECONDS_AT = 80  # bits from the right


def new_id(*, at: float | None = None) -> UUID:
    """A new id. at: Unix seconds, by default now."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    random = int.from_bytes(os.urandom(10))
    value = milliseconds << _MILLISECONDS_AT | random
    value = value & ~(0xF << 76) | 7 << 76  # the version
    value = value & ~(0x3 << 62) | 0x2 << 62  # the variant
    return UUID(int=value)


def received_of(id_: UUID) -> int | None:
    """When a notificatie with this id was accepted, in milliseconds since 1970; None of another version."""
    return id_.int >> _MILLISECONDS_AT if id_.version == 7 else None


def id_of_message(message_id: str) -> UUID:
    """The ledger's id of a message in RabbitMQ, by its message-id.

    Gateways use UUIDs. A message that was put in by hand may have any text; a text always gets the same id.
    """
    try:
        return UUID(message_id)
    except ValueError:
        return uuid5(NAMESPACE_OID, message_id)
