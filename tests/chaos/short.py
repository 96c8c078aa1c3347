"""The short form: few scenarios with many faults.

Most of a scenario's time is not the fault but what is around it: making abonnementen, a load, and waiting
until all has arrived. So the faults of scenarios that can be joined are made under one load, and a smaller
one than that of the full form: it goes on for as long as a machine takes to start what was killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.chaos.run import Run
from tests.chaos.scenario import Scenario

RATE = 100.0
"""Notificaties a second."""


def short_form(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """Those in which no publisher may see an error, and one that does all others, one after the other."""
    chosen = [scenario for scenario in scenarios if scenario.short]
    apart = [scenario for scenario in chosen if scenario.no_errors]
    joined = [scenario for scenario in chosen if not scenario.no_errors]
    for scenario in joined:
        usual = Scenario(scenario.name, scenario.text, scenario.work, short=True)
        assert scenario == usual, f"{scenario.name} has something of its own: it cannot be joined"

    async def work(run: Run) -> None:
        for scenario in joined:
            await scenario.work(run)

    text = " ".join(scenario.text for scenario in joined)
    chosen = [*apart, Scenario("one after the other", text, work, short=True)]
    return [replace(scenario, rate=RATE) for scenario in chosen]
