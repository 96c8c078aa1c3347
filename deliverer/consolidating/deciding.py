"""Decides what becomes of a message of an abonnement with `consolidate`. No I/O.

The first is sent at once. What comes within the window after a delivery waits for its end, and when it is due
only the newest is sent: the others end, each by one that is in the ledger already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from ledger.ids import received_of
from ledger.values import State

STANDS_FOR = frozenset({State.PENDING, State.RETURNING, State.RETRYING, State.DELIVERED})
"""States in which a newer delivery stands for an older one: it is to come by itself, or came.

One that came does by `stands_for` only.
"""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A delivery about the same resource, to the same abonnement. at: of its last outcome, milliseconds."""

    id: UUID
    state: State
    at: int


@dataclass(frozen=True, slots=True)
class Go:
    """Send it now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Send it then, at the earliest: milliseconds since 1970."""

    until: int


@dataclass(frozen=True, slots=True)
class End:
    """Don't send it: this newer one stands for it."""

    into: UUID


Decision = Go | Wait | End


def stands_for(newer: Repeat, *, came: int | None, now: int) -> bool:
    """Whether a delivery with a later id stands for another one.

    came: when the other one came in here for the first time, in milliseconds.

    Ids are made by the clocks of gateways, which may be ahead or be put back: what was delivered before the
    other came in does not tell what that one tells. Where it is not known when that was (None), the moments
    of the newer one must agree with each other and with `now`.
    """
    if newer.state is State.DELIVERED:
        since = (received_of(newer.id) or 0) if came is None else came
        return since <= newer.at <= now
    return newer.state in STANDS_FOR


def decide(
    into: UUID | None, before: Sequence[Repeat], *, last_sent: int | None, window: int, now: int
) -> Decision:
    """What becomes of a delivery.

    into: a newer one that is certain to stand for it. before: those that came before it. last_sent: when
    this process last sent one about the same resource. window: milliseconds. now: milliseconds since 1970.
    """
    if into is not None:
        return End(into)
    # A clock that is ahead, of this or another process, makes nothing wait for longer than two windows.
    delivered = [each.at for each in before if each.state is State.DELIVERED and each.at <= now + window]
    if last_sent is not None:
        delivered.append(last_sent)
    if not delivered:
        return Go()
    until = min(max(delivered), now) + window
    return Wait(until) if until > now else Go()
