"""Any steps in any order, under any faults: the invariants hold. `NRC_TEST_MODEL_EXAMPLES`: how many."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.model.machine import search
from tests.model.model import Model
from tests.model.rules import Rules
from tests.model.schedules import look_twice

EXAMPLES = int(os.environ.get("NRC_TEST_MODEL_EXAMPLES", "150"))


def test_the_specification_holds_in_any_order() -> None:
    search(Rules(), examples=EXAMPLES)


@pytest.mark.parametrize("taken_away", [Model.purge, Model.dead_letter])
def test_what_was_delivered_without_being_told_may_come_again_for_each_copy_that_goes(
    taken_away: Callable[[Model, str], None],
) -> None:
    model = Model(Rules())
    model.accept()
    model.deliver(0, "A")
    model.crash_deliverer(0)
    for _ in range(2):
        taken_away(model, "A")
        model.advance(500)
        look_twice(model)
    model.finish()


def test_what_comes_into_a_queue_that_stands_again_in_its_gap_may_come_twice() -> None:
    """Who changed the abonnement had its queue made; the router that opened the gap closes it later."""
    model = Model(Rules())
    model.delete_queue("A")
    model.repair_first()
    model.subscribe("A")
    model.accept()
    model.finish()
    assert model.world.truth.given == {(1, "A"): 1}


def test_without_faults_all_is_delivered_once_and_nothing_is_given_back() -> None:
    model = Model(Rules())
    for n in range(30):
        model.accept(n % 2)
        model.deliver(n % 2, "AB"[n % 2])
        model.run(10)
    model.run(1200)
    model.finish()
    assert set(model.world.truth.delivered.values()) == {1}
    assert len(model.world.truth.delivered) == 90
    assert not model.world.truth.given
