"""What was handed out together, as a text by which it is acknowledged: a cursor. Pure.

It names each delivery. One that says "all up to here" would also acknowledge what was never handed out: an id
is made before its commit, by the clock of one of several gateways, so an earlier one may be there later.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from uuid import UUID

MOST = 100
"""Deliveries in one cursor."""
_VERSION = b"\x01"
_KEY = 20  # bytes: notificatie, replay

Handed = tuple[UUID, int]
"""(notificatie, replay) of a delivery to the abonnement that asks."""


def cursor_of(handed: Sequence[Handed]) -> str:
    """The cursor of these, in characters that may stand in a URL."""
    packed = b"".join(id_.bytes + replay.to_bytes(4) for id_, replay in handed)
    return base64.urlsafe_b64encode(_VERSION + packed).decode().rstrip("=")


def handed_of(cursor: str) -> tuple[Handed, ...]:
    """What a cursor names, at most MOST. Raises ValueError for a text that is no cursor."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    version, keys = packed[:1], packed[1:]
    if version != _VERSION or not keys or len(keys) % _KEY or len(keys) > MOST * _KEY:
        raise ValueError("no cursor of ours")
    places = range(0, len(keys), _KEY)
    return tuple((UUID(bytes=keys[at : at + 16]), int.from_bytes(keys[at + 16 : at + _KEY])) for at in places)
