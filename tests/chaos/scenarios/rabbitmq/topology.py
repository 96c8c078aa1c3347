"""Things of ours that somebody deletes in RabbitMQ by hand."""

from __future__ import annotations

from functools import partial

from router import names
from tests.chaos.clients.publisher import CONNECTIONS
from tests.chaos.run import Run, Scenario
from tests.chaos.system import PREFETCH
from tests.eventually import eventually

DEAD_LETTERING = 32
"""Messages that RabbitMQ has under way out of a wait queue, and no longer counts in it."""
MATCHES = 2
"""The most abonnementen of the load that want one notificatie."""
LOST_TWICE = 200.0
"""Seconds without any arrival in which the keeper finds what no gap covers (E2)."""

HALF_FAIL = {"every": 2, "by": "request", "then": ["status", {"code": 500}]}


def in_hand(run: Run) -> int:
    """The most that is delivered and has no outcome in the ledger yet: a gap gives that back too."""
    return CONNECTIONS * MATCHES + PREFETCH * len(run.system.deliverers) * run.system.queues


async def kanaal_exchange_deleted(run: Run) -> None:
    """What is published without an exchange is in the ledger, and so is what RabbitMQ routed by halves."""
    for naam in ("zaken", "documenten", "zaken"):
        run.may_repeat(f"in hand while the exchange of {naam} was missing", in_hand(run))
        async with run.fault():
            await run.system.broker.delete_exchange(names.kanaal_exchange(naam))
        await run.more(1200)


async def queue_deleted(run: Run) -> None:
    """What it held, and what came while it was missing, is given back. The second is of a held abonnement."""
    for abonnement in ("everything", "documents"):
        if abonnement == "documents":
            await run.consumer.behave(run.path(abonnement), "hang")
            await run.more(1000)
        run.may_repeat(f"in hand of the queue of {abonnement}", in_hand(run))
        async with run.fault():
            await run.system.broker.delete_queue(run.queue(abonnement))
            await run.consumer.behave(run.path(abonnement), "status")
        await eventually(partial(run.system.broker.bindings_to, run.queue(abonnement)), within=30)
        await run.more(1500)


async def ways_deleted(run: Run) -> None:
    """Filter exchanges, and then the markers of all abonnementen."""

    async def there(prefix: str) -> set[str]:
        return {name for name in await run.system.broker.exchange_names() if name.startswith(prefix)}

    async def back(prefix: str, ways: set[str]) -> bool:
        return ways <= await there(prefix)

    for prefix in ("nrc.filter.", "nrc.marker."):
        ways = await there(prefix)
        assert ways, f"there is no {prefix}… to delete"
        run.may_repeat(f"in hand while {prefix}… was missing", in_hand(run))
        async with run.fault():
            for way in ways:
                await run.system.broker.delete_exchange(way)
        await run.more(1500)
        await eventually(partial(back, prefix, ways), within=30)


async def wait_queue_deleted(run: Run) -> None:
    """Every other answer of two callbacks is a 500, so that there is always something waiting."""
    for abonnement in ("everything", "documents"):
        await run.consumer.behave(run.path(abonnement), "some", **HALF_FAIL)
    await run.more(1500)
    for seconds in (4, 1):
        run.may_repeat("came out of a wait queue as it was deleted", 2 * DEAD_LETTERING)
        async with run.fault():
            await run.system.broker.delete_queue(names.wait_queue(seconds))
        await run.more(800)
    for abonnement in ("everything", "documents"):
        await run.consumer.behave(run.path(abonnement), "status")
    await run.more(1000)


async def return_deleted(run: Run) -> None:
    """Every other answer of a callback is a 500, so that messages wait and come back by nrc.return."""
    await run.consumer.behave(run.path("documents"), "some", **HALF_FAIL)
    await run.more(1000)
    async with run.fault():
        await run.system.broker.delete_exchange(names.RETURN)
    await run.more(1500)
    await run.consumer.behave(run.path("documents"), "status")
    await run.more(1500)


SCENARIOS = (
    Scenario(
        "exchange of a kanaal deleted",
        "The exchange of each kanaal is deleted by hand.",
        kanaal_exchange_deleted,
    ),
    Scenario(
        "queue deleted",
        "The queue of one abonnement is deleted by hand with what it holds; then that of another, whose "
        "callback hangs, with a thousand notificaties in it.",
        queue_deleted,
    ),
    Scenario(
        "exchanges on the way deleted",
        "All headers exchanges of filters are deleted by hand; then the marker of each abonnement.",
        ways_deleted,
    ),
    Scenario(
        "wait queue deleted",
        "While two callbacks fail every other time, the wait queues of 4 s and of 1 s are deleted by hand.",
        wait_queue_deleted,
        settle=300.0,
        quiet=LOST_TWICE,
    ),
    Scenario(
        "nrc.return deleted",
        "While a callback fails every other time, the exchange by which messages come back from waiting is "
        "deleted by hand.",
        return_deleted,
    ),
)
