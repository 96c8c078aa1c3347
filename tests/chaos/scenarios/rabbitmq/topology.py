"""Things of ours that somebody deletes in RabbitMQ by hand."""

from __future__ import annotations

import time
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

LATEST = 40
"""The most that gateways publish again: what came in a twentieth of a second, at under 800 a second."""

HALF_FAIL = {"every": 2, "by": "request", "then": ["status", {"code": 500}]}


async def kanaal_exchange_deleted(run: Run) -> None:
    """A publish whose confirm is lost with the exchange goes out again, and so do the last that it got."""
    for naam in ("zaken", "documenten", "zaken"):
        stem = names.kanaal_exchange(naam)
        run.may_repeat(f"publishes in flight to the exchange of {naam}", CONNECTIONS * MATCHES)
        run.may_repeat(f"the last that the exchange of {naam} got", LATEST * MATCHES)
        async with run.fault():
            for exchange in await run.system.broker.exchange_names():
                if exchange == stem or exchange.startswith(stem + "@"):
                    await run.system.broker.delete_exchange(exchange)
        await run.more(1200)


async def queue_deleted(run: Run) -> None:
    """What is published while a queue is missing is brought to it.

    For some seconds it may also go to an abonnement whose queue was missing just before, under the same id:
    nothing tells for which of the two it was.
    """
    before: set[str] = set()
    for abonnement in ("everything", "documents"):
        async with run.fault():
            ready = await run.system.broker.delete_queue(run.queue(abonnement))
        at = time.monotonic()
        run.excuse(
            "were in a queue that was deleted by hand",
            [abonnement],
            posted_before=at,
            at_most=ready + PREFETCH * len(run.system.deliverers),
        )
        # A new queue is bound only after a rest.
        await eventually(partial(run.system.broker.bindings_to, run.queue(abonnement)), within=30)
        missed = sum(run.wants(abonnement, post) for post in run.publisher.accepted if post.posted >= at)
        run.may_repeat(
            f"published while the queue of {abonnement} was missing", (missed + CONNECTIONS) * len(before)
        )
        before.add(abonnement)
        await run.more(1500)


async def ways_deleted(run: Run) -> None:
    """Another way leads past each exchange, until the router has made it again."""

    async def there(prefix: str) -> set[str]:
        return {name for name in await run.system.broker.exchange_names() if name.startswith(prefix)}

    async def back(prefix: str, ways: set[str]) -> bool:
        return ways <= await there(prefix)

    for prefix in ("nrc.filter.", "nrc.to."):
        ways = await there(prefix)
        assert ways, f"there is no {prefix}… to delete"
        async with run.fault():
            for way in ways:
                await run.system.broker.delete_exchange(way)
        await run.more(1500)
        # Both gone at once would be a loss.
        await eventually(partial(back, prefix, ways), within=30)


async def wait_queue_deleted(run: Run) -> None:
    """Every other answer of two callbacks is a 500, so that there is always something waiting."""
    for abonnement in ("everything", "documents"):
        await run.consumer.behave(run.path(abonnement), "some", **HALF_FAIL)
    await run.more(1500)
    for seconds in (4, 1):
        async with run.fault():
            ready = await run.system.broker.delete_queue(names.wait_queue(seconds))
        run.excuse(
            "were in a wait queue that was deleted by hand",
            run.abonnementen,
            posted_before=time.monotonic(),
            at_most=ready + DEAD_LETTERING,
        )
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
        "The queue of one abonnement is deleted by hand with what it holds; then that of another.",
        queue_deleted,
    ),
    Scenario(
        "exchanges on the way deleted",
        "All headers exchanges of filters are deleted by hand; then the exchange before each queue.",
        ways_deleted,
    ),
    Scenario(
        "wait queue deleted",
        "While two callbacks fail every other time, the wait queues of 4 s and of 1 s are deleted by hand.",
        wait_queue_deleted,
    ),
    Scenario(
        "nrc.return deleted",
        "While a callback fails every other time, the exchange by which messages come back from waiting is "
        "deleted by hand.",
        return_deleted,
    ),
)
