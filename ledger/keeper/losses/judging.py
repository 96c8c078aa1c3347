"""Whether a delivery of which no outcome comes is lost: two proofs, each of which takes minutes. Pure.

Overtaken (E1): queues are FIFO, and something that went into the same queue clearly later had its first
attempt long ago. Empty (E2): nothing was ready in its queue at two looks a minute apart, both after it went
in. Neither holds for what a live deliverer has in hand. Times are milliseconds by the database's clock.
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

    ahead: how much later what overtook it went into the queue, at least; ended: since that had its first
    attempt. apart: between two looks at which a queue was empty, at least. pauses: from when it went into its
    queue to its first, second … give-back.
    """

    ahead: int = 60_000
    ended: int = 300_000
    apart: int = 60_000
    pauses: tuple[int, ...] = (120_000, 480_000, 1_920_000)


PATIENCE = Patience()


class Verdict(StrEnum):
    """What is known of a delivery without an outcome."""

    NOTHING = "nothing"
    OVERTAKEN = "overtaken"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Look:
    """A look at a queue in which nothing was ready. began, ended: around the question."""

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

    first: the greatest `since` of what had its first attempt over `ended` ago. looks: those at its queue, in
    their order, without one in between that saw something.
    """
    pauses = patience.pauses
    pause = pauses[min(row.given, len(pauses) - 1)]
    if hands.now < row.since + pause or is_in_hand(row.key, hands.keys):
        return Verdict.NOTHING
    if first is not None and first > row.since + patience.ahead:
        return Verdict.OVERTAKEN
    # A look counts once all that live have written after it: what it did not see may just have been taken.
    after = [look for look in looks if look.began > row.since and look.ended < hands.heard]
    if after and after[-1].began - after[0].began >= patience.apart:
        return Verdict.EMPTY
    return Verdict.NOTHING


def is_used_up(row: Delivery, patience: Patience = PATIENCE) -> bool:
    """Whether it was given back as often as that is done."""
    return row.given >= len(patience.pauses)
