"""Clocks that jump under running processes."""

from __future__ import annotations

from tests.chaos.faults import clock
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario

FILE = "clock"
HOUR = 3600
KINDS = ("gateway 1", "gateway 2", "deliverer 1", "deliverer 2")


async def clocks_jump(run: Run) -> None:
    """While messages wait: one callback asks for time with a Retry-After, another fails now and then."""
    file = run.system.folder / FILE
    await run.consumer.behave(
        run.path("documents"),
        "some",
        every=3,
        by="request",
        then=["status", {"code": 429, "headers": {"Retry-After": "3"}}],
    )
    await run.consumer.behave(
        run.path("one-zaaktype"), "some", every=4, by="request", then=["status", {"code": 500}]
    )
    for seconds in (5 * HOUR, -24 * HOUR, 0, 30 * HOUR, 0):
        await run.more(1000)
        async with run.fault():
            clock.jump(file, seconds)
    await run.more(1000)
    for name in ("documents", "one-zaaktype"):
        await run.consumer.behave(run.path(name), "status")


def _environment() -> dict[str, dict[str, str]]:
    # The file is looked for in the working directory, which is the system's folder.
    return {} if clock.unfit() else {name: clock.environment(FILE) for name in KINDS}


SCENARIOS = (
    Scenario(
        "clocks jump",
        "The clocks of gateways and deliverers jump 5 hours ahead, back to a day behind, to the true time, "
        "30 hours ahead and to the true time again, while messages wait for their next attempt, with a "
        "Retry-After and without.",
        clocks_jump,
        # The publisher's token is made by the true clock, and a day from now it must still count.
        settings={"NRC_JWT_EXPIRY": str(7 * 24 * HOUR)},
        per_process=_environment(),
        unfit=clock.unfit,
        settle=25.0,
    ),
)
