"""What becomes of a repeat: it is sent, waits for the end of the window, or ends in a newer one."""

from __future__ import annotations

from uuid import UUID

import pytest

from deliverer.consolidating.deciding import Decision, End, Go, Repeat, Wait, decide
from ledger.values import State

NEWER = UUID(int=9)
NOW, WINDOW = 1_000_000, 10_000


@pytest.mark.parametrize(
    ("older", "last_sent", "expected"),
    [
        ([], None, Go()),
        ([(State.DELIVERED, NOW - 10_001)], None, Go()),
        ([(State.DELIVERED, NOW - 4000)], None, Wait(NOW + 6000)),
        ([(State.DELIVERED, NOW - 9000), (State.DELIVERED, NOW - 4000)], None, Wait(NOW + 6000)),
        # One that is to come is no delivery: it ends when its turn comes, in this one.
        ([(State.RETRYING, NOW - 10), (State.PENDING, NOW - 10)], None, Go()),
        # What was sent from here, and is not in the ledger yet.
        ([(State.PENDING, NOW - 10)], NOW - 10, Wait(NOW + 9990)),
        ([(State.DELIVERED, NOW - 4000)], NOW - 5000, Wait(NOW + 6000)),
        # The clock of who delivered it is ahead, or was put back since.
        ([(State.DELIVERED, NOW + 6000)], None, Wait(NOW + 10_000)),
        ([(State.DELIVERED, NOW + 60_000)], None, Go()),
    ],
)
def test_without_a_newer_one(
    older: list[tuple[State, int]], last_sent: int | None, expected: Decision
) -> None:
    repeats = [Repeat(UUID(int=number), state, at) for number, (state, at) in enumerate(older)]
    assert decide(None, repeats, last_sent=last_sent, window=WINDOW, now=NOW) == expected


def test_a_newer_one_stands_for_it_whatever_was_sent() -> None:
    older = [Repeat(UUID(int=1), State.DELIVERED, NOW - 20_000)]
    assert decide(NEWER, older, last_sent=None, window=WINDOW, now=NOW) == End(NEWER)
    assert decide(NEWER, [], last_sent=NOW, window=WINDOW, now=NOW) == End(NEWER)


def test_a_steady_stream_is_sent_once_in_each_window() -> None:
    """One each second, of which the one that waits longest is looked at first: none waits for ever."""
    sent: list[int] = []
    waiting: dict[int, int] = {}  # number (its moment too) -> due
    for now in range(0, 100_000, 500):
        if now % 1000 == 0:
            waiting[now] = now
        for number, due in sorted(waiting.items()):
            if due > now:
                continue
            newer = max((other for other in waiting if other > number), default=None)
            older = [Repeat(UUID(int=each), State.DELIVERED, each) for each in sent]
            into = None if newer is None else UUID(int=newer)
            match decide(into, older, last_sent=None, window=WINDOW, now=now):
                case Go():
                    sent.append(now)
                    del waiting[number]
                case End():
                    del waiting[number]
                case Wait(until=until):
                    waiting[number] = until
    assert sent == list(range(0, 100_000, WINDOW))
