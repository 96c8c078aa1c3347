"""The short form: few scenarios with many faults.

Most of a scenario's time is not the fault but what is around it: making abonnementen, a load, and waiting
until all has arrived. So the faults of scenarios that can be joined are made under one load.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.run import Run, Scenario


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
    return [*apart, Scenario("one after the other", text, work, short=True)]
