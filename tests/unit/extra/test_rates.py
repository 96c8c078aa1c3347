"""How often an application may ask."""

from __future__ import annotations

import pytest

from extra.rates import AT_ONCE, Rates
from schemas.errors import Throttled


def how_many(rates: Rates, client: str, *, now: float, cost: float = 1.0) -> int:
    """How many it may ask at this moment."""
    for count in range(1000):
        try:
            rates.take(client, now=now, cost=cost)
        except Throttled:
            return count
    raise AssertionError("without end")


def test_some_at_once_and_then_so_many_a_second() -> None:
    rates = Rates(2.0)
    assert how_many(rates, "a", now=0.0) == 2 * AT_ONCE
    assert how_many(rates, "a", now=0.4) == 0
    assert how_many(rates, "a", now=1.5) == 3
    assert how_many(rates, "a", now=1000.0) == 2 * AT_ONCE, "no more than that, whatever the pause"


def test_each_application_has_its_own() -> None:
    rates = Rates(1.0)
    assert how_many(rates, "a", now=0.0) == how_many(rates, "b", now=0.0) == AT_ONCE


def test_what_costs_more_is_counted_so_and_never_impossible() -> None:
    assert how_many(Rates(2.0), "a", now=0.0, cost=5.0) == 2
    assert how_many(Rates(0.1), "a", now=0.0, cost=5.0) == 1


def test_when_to_ask_again() -> None:
    rates = Rates(0.25)
    rates.take("a", now=0.0)
    with pytest.raises(Throttled) as refused:
        rates.take("a", now=0.0)
    wait = refused.value.retry_after
    assert wait == 3, "a quarter was left over"
    rates.take("a", now=float(wait))
