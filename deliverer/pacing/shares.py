"""Divides an abonnement's rate and concurrency among the deliverers, so that together they keep to it.

Every deliverer computes this by itself from the same names. Of a concurrency of 3, two deliverers have 2 and
1; which of them has 2 differs by abonnement. A deliverer without a share does not consume the queue. A rate
under two a second is not divided: a message in the hands of one deliverer waits for the pace of that one
alone. An abonnement with `consolidate` has one deliverer, which so knows what was sent last.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from uuid import UUID

from schemas.delivery_options import DeliveryOptions

IN_HAND = 10.0
"""Seconds of its rate that a deliverer has in hand: what was delivered waits for the ledger's commit too."""
PLACES = 2
"""Messages in hand for each request at once: one that is sent, one that waits for that or for a commit."""


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one deliverer. rate: requests a second; room: at once; prefetch: messages in hand.

    None: not limited.
    """

    rate: float | None
    room: int | None
    prefetch: int | None


NOTHING = Share(None, 0, 0)
"""Of one that does not consume the queue."""


def is_paced(options: DeliveryOptions | None) -> bool:
    """Whether these options say when a request may be made."""
    if options is None:
        return False
    return any(each is not None for each in (options.most_a_second, options.concurrency, options.consolidate))


def share_of(options: DeliveryOptions, abonnement: UUID, *, own: str, living: Collection[str]) -> Share:
    """The part of the deliverer `own` of those that live; it counts as one of them in any case."""
    ranked = sorted({own, *living}, key=lambda name: _rank(abonnement, name))
    sharers = len(ranked)
    asked = options.most_a_second
    if options.concurrency is not None:
        sharers = min(sharers, options.concurrency)
    if asked is not None:
        sharers = min(sharers, max(1, int(asked)))
    if options.consolidate is not None:
        sharers = 1
    index = ranked.index(own)
    if index >= sharers:
        return NOTHING
    rate = room = None
    limits = []
    if asked is not None:
        rate = asked / sharers
        limits.append(max(1, ceil(rate * IN_HAND)))
    if options.concurrency is not None:
        room = options.concurrency // sharers + (index < options.concurrency % sharers)
        limits.append(room * PLACES)
    return Share(rate, room, min(limits, default=None))


def _rank(abonnement: UUID, name: str) -> bytes:
    return blake2b(abonnement.bytes + name.encode(), digest_size=8).digest()
