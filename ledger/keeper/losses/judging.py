"""Decides whether a delivery without an outcome is lost, by two rules that each take minutes. Pure.

Overtaken (E1): queues are FIFO, and a delivery that went into the same queue clearly later had its first
attempt long ago. Empty (E2): nothing was ready in its queue at two looks a minute apart, both after it went
in. Neither applies to what a live deliverer has in hand. Times are milliseconds by the database's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ledger.keeper_ledger import Hands
from ledger.values import Delivery, is_in_hand


@dataclass(frozen=True, slots=True)
class Patience:
    """How long it takes until something is taken for lost.

    E1: the other delivery went into the queue at least `ahead` later, and had its first attempt at least
    `ended` ago. E2: the two looks are at least `apart`. pauses: from when it went into its queue to its
    first, second … give-back.
    """

    ahead: int = 60_000
    ended: int = 300_000
    apart: int = 60_000
    pauses: tuple[int, ...] = (120_000, 480_000, 1_920_000)


PATIENCE = Patience()


class Verdict(StrEnum):
    """What the rules say of a delivery without an outcome."""

    NOTHING = "nothing"
    OVERTAKEN = "overtaken"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Look:
    """A look at a queue that found nothing ready. began, ended: before and after RabbitMQ was asked."""

    began: int
    ended: int


def judge(
    row: Delivery,
    *,
    first: int | None,
    looks: Sequence[Look],
    hands: Hands,
    patience: Patience = PATIENCE,
) -> Verdict:
    """Whether the message of an open delivery is lost, and it is time to give it back.

    first: the greatest `since` of deliveries whose first attempt was over `ended` ago. looks: the last ones
    at its queue, the oldest first, all of which found nothing.
    """
    pauses = patience.pauses
    pause = pauses[min(row.given, len(pauses) - 1)]
    if hands.now < row.since + pause or is_in_hand(row.key, hands.keys):
        return Verdict.NOTHING
    if first is not None and first > row.since + patience.ahead:
        return Verdict.OVERTAKEN
    # A look counts once all live deliverers have written after it: one may just have taken the message.
    after = [look for look in looks if look.began > row.since and look.ended < hands.heard]
    if after and after[-1].began - after[0].began >= patience.apart:
        return Verdict.EMPTY
    return Verdict.NOTHING


def is_used_up(row: Delivery, patience: Patience = PATIENCE) -> bool:
    """Whether it was given back as often as is allowed."""
    return row.given >= len(patience.pauses)
