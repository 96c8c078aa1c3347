"""The id of a notificatie that Open Notificaties had accepted: made of the moment of a run, and of it. Pure.

A UUID of version 7, as every notificatie has (ledger/ids.py), of which the part that is random elsewhere is
made of the notificatie. So what an earlier run took over is found again by the moment of that run, a restart
gives nothing twice, and the ledger's order by time stays true.
"""

from __future__ import annotations

import json
from hashlib import sha256
from uuid import UUID

from nrc.importing.source import Pending

_NUMBER_BITS, _HASH_BITS = 32, 42  # together what is random in a UUID of version 7


def imported_id(moment: int, pending: Pending) -> UUID:
    """moment: of the run, in milliseconds since 1970. The same for each abonnement of a notificatie.

    In the order of their numbers there, so that what was accepted first goes first.
    """
    of_row = pending.notificatie is None
    number = pending.number if of_row else pending.notificatie or 0
    # A number alone is not enough: another Open Notificaties has the same.
    content = json.dumps(json.loads(pending.body), sort_keys=True).encode()
    digest = sha256(b"row " * of_row + str(number).encode() + b" " + content).digest()
    own = (number % (1 << _NUMBER_BITS)) << _HASH_BITS | int.from_bytes(digest) >> (256 - _HASH_BITS)
    high, low = own >> 62, own & ((1 << 62) - 1)
    return UUID(int=moment << 80 | 7 << 76 | high << 64 | 2 << 62 | low)
