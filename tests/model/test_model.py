"""Any steps in any order, under any faults: the invariants hold. `NRC_TEST_MODEL_EXAMPLES`: how many."""

from __future__ import annotations

import os

from tests.model.machine import search
from tests.model.model import Model
from tests.model.rules import Rules

EXAMPLES = int(os.environ.get("NRC_TEST_MODEL_EXAMPLES", "150"))


def test_the_specification_holds_in_any_order() -> None:
    search(Rules(), examples=EXAMPLES)


def test_without_faults_all_is_delivered_once_and_nothing_is_given_back() -> None:
    model = Model(Rules())
    for n in range(30):
        model.accept(n % 2)
        model.deliver(n % 2, "AB"[n % 2])
        model.run(10)
    model.run(1200)
    model.finish()
    assert set(model.world.truth.delivered.values()) == {1}
    assert len(model.world.truth.delivered) == 60
    assert not model.world.truth.given
