"""Each rule turned off has its counterexample: a directed schedule for all, and a random search for some."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.model.model import Model
from tests.model.rules import SWITCHES, Rules
from tests.model.schedules import VIOLATES
from tests.model.world import Violated


def test_every_switch_has_a_schedule() -> None:
    assert sorted(schedule.__name__ for schedule in VIOLATES) == sorted(SWITCHES)


@pytest.mark.parametrize("schedule", VIOLATES, ids=lambda schedule: schedule.__name__)
def test_the_schedule_holds_with_the_rule_and_fails_without_it(schedule: Callable[[Model], None]) -> None:
    invariant, *also_off = VIOLATES[schedule]
    play(schedule, Rules())
    play(schedule, Rules().without(*also_off))
    with pytest.raises(Violated, match=f"^{invariant}: "):
        play(schedule, Rules().without(schedule.__name__, *also_off))


def play(schedule: Callable[[Model], None], rules: Rules) -> None:
    model = Model(rules)
    schedule(model)
    model.finish()
