"""What a process remembers of what it wrote to the ledger, for a standby that lacks the last commits."""

from __future__ import annotations

from uuid import uuid4

from ledger.copies.recent import FOR, Recent
from ledger.values import Heartbeat
from tests.contract.stores.test_ledger import an_entry


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_on_another_timeline_is_told_until_it_is_on_this_one() -> None:
    recent = Recent()
    first, second = an_entry(), an_entry()
    recent.add("1", [first, Heartbeat("gateway", True)])
    assert recent.elsewhere("1") == []
    recent.add("2", [second])
    assert recent.elsewhere("2") == [(first,)]
    recent.are_on("2")
    assert recent.elsewhere("2") == []
    assert recent.elsewhere("3") == [(first,), (second,)]


def test_it_forgets_what_is_old_and_what_is_too_much() -> None:
    clock = Clock()
    recent = Recent(clock=clock, most=2000)
    recent.add("1", [an_entry()])
    clock.now += FOR + 1
    recent.add("1", [])
    assert recent.elsewhere("2") == []
    entries = [an_entry(id=uuid4()) for _ in range(10)]
    for entry in entries:
        recent.add("1", [entry])
    kept = recent.elsewhere("2")
    assert 0 < len(kept) < 5
    assert kept[-1] == (entries[-1],)
