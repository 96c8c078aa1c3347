"""How often the router looks at what was deleted by hand."""

from __future__ import annotations

import pytest

from router.declaring.service import WATCH_INTERVAL, watch_interval


@pytest.mark.parametrize(("abonnementen", "times"), [(0, 1), (1000, 1), (1500, 1.5), (5000, 5)])
def test_a_look_costs_no_more_a_second_the_more_there_are(abonnementen: int, times: float) -> None:
    assert watch_interval(abonnementen) == times * WATCH_INTERVAL
