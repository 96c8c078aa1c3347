"""The id of what Open Notificaties had accepted: made of the moment of a run, and of it. Pure.

A UUID of version 7, as every notificatie has (ledger/ids.py), of which the part that is random elsewhere is
made of the notificatie. So what an earlier run took over is found again by the moment of that run, a restart
gives nothing twice, and the ledger's order by time stays true.
"""

from __future__ import annotations

import json
from hashlib import sha256
from uuid import UUID

from nrc.importing.source import Pending
from schemas.events.event import is_event

_NUMBER_BITS, _HASH_BITS = 32, 42  # together what is random in a UUID of version 7


def imported_id(moment: int, pending: Pending) -> UUID:
    """moment: of the run, in milliseconds since 1970. The same for each abonnement of a notificatie.

    In the order of their numbers there, so that what was accepted first goes first.
    """
    if pending.notificatie is not None:
        table, number = b"", pending.notificatie
    elif pending.event is not None:
        table, number = b"event ", pending.event
    else:
        table, number = b"row ", pending.number
    # A number alone is not enough: another Open Notificaties has the same.
    digest = sha256(table + str(number).encode() + b" " + identity_of(pending.body)).digest()
    own = (number % (1 << _NUMBER_BITS)) << _HASH_BITS | int.from_bytes(digest) >> (256 - _HASH_BITS)
    high, low = own >> 62, own & ((1 << 62) - 1)
    return UUID(int=moment << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


def identity_of(body: bytes) -> bytes:
    """What is the same of the same notificatie; of an event its source and id.

    When an event is sent again by hand there, other attributes may be written in another way.
    """
    data = json.loads(body)
    same = [data.get("source"), data.get("id")] if is_event(data) else data
    return json.dumps(same, sort_keys=True).encode()
