"""A dict of at most so many pairs."""

from __future__ import annotations

from runtime.memory.bounded import Bounded


def test_what_was_set_longest_ago_is_forgotten() -> None:
    known: Bounded[str, int] = Bounded(2)
    known["a"] = 1
    known["b"] = 2
    known["a"] = 3  # newer than b from now on
    known["c"] = 4
    assert dict(known) == {"a": 3, "c": 4}
    assert known.pop("a") == 3
    known["d"] = 5
    assert dict(known) == {"c": 4, "d": 5}
