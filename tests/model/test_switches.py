"""Each rule turned off has its counterexample: a directed schedule, and for some a random search too."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.model.machine import search
from tests.model.model import Model
from tests.model.rules import SWITCHES, Rules
from tests.model.schedules import VIOLATES
from tests.model.system.world import Violated

SOON_FOUND = (
    "entry_not_through_rabbitmq",
    "unrouted_sticky",
    "unrouted_waits_10s",
    "row_read_before_retry",
    "tombstone_only_removal",
    "reconnect_makes_suspects",
    "returning_republishes_same_round",
    "give_back_to_one_queue",
    "catalogue_second_look",
    "fetch_from_the_oldest",
    "fetch_changes_nothing",
    "acknowledged_before_204",
)
"""Found within some hundred schedules; others need a coincidence that only a schedule of its own makes."""


def test_every_switch_has_a_schedule() -> None:
    assert sorted(schedule.__name__ for schedule in VIOLATES) == sorted(SWITCHES)


@pytest.mark.parametrize("schedule", VIOLATES, ids=lambda schedule: schedule.__name__)
def test_the_schedule_holds_with_the_rule_and_fails_without_it(schedule: Callable[[Model], None]) -> None:
    invariant, *also_off = VIOLATES[schedule]
    play(schedule, Rules())
    play(schedule, Rules().without(*also_off))
    with pytest.raises(Violated, match=f"^{invariant}: "):
        play(schedule, Rules().without(schedule.__name__, *also_off))


@pytest.mark.parametrize("switch", SOON_FOUND)
def test_a_random_search_finds_it_too(switch: str) -> None:
    with pytest.raises(Violated):
        search(Rules().without(switch), examples=1000, steps=30)


def play(schedule: Callable[[Model], None], rules: Rules) -> None:
    model = Model(rules)
    schedule(model)
    model.finish()
