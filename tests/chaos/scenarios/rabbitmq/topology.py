"""Queues, exchanges and markers of ours that somebody deletes in RabbitMQ."""

from __future__ import annotations

from functools import partial

from router import names
from tests.chaos.clients import load
from tests.chaos.clients.publisher import CONNECTIONS
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import states
from tests.chaos.scenarios.states import HALF_FAIL
from tests.chaos.system import PREFETCH
from tests.eventually import eventually

DEAD_LETTERING = 32
"""Messages that RabbitMQ has under way out of a wait queue, and no longer counts in it."""
MATCHES = 3
"""The most abonnementen of the load that want one notificatie."""
LOST_TWICE = 200.0
"""Seconds without any arrival in which the keeper finds what no gap covers: two minutes, and its looks."""


def in_hand(run: Run, *, matches: int = MATCHES) -> int:
    """The most that is delivered and has no outcome in the ledger yet: a gap gives that back too."""
    return CONNECTIONS * matches + PREFETCH * len(run.system.deliverers) * run.system.queues


async def kanaal_exchange_deleted(run: Run) -> None:
    """What is published without an exchange is in the ledger, and so is what RabbitMQ routed by halves."""
    for naam in ("zaken", "documenten", "zaken"):
        run.may_repeat(f"in hand while the exchange of {naam} was missing", in_hand(run))
        async with run.fault():
            await run.system.broker.delete_exchange(names.kanaal_exchange(naam))
        await run.more(700)


async def queue_deleted(run: Run) -> None:
    """What it held, and what came while it was missing, is given back. The second is of a held abonnement."""
    for abonnement in ("everything", "documents"):
        if abonnement == "documents":
            await run.consumer.behave(run.path(abonnement), "hang")
            await run.more(1000)
            await run.held(abonnement)
        run.may_repeat(f"in hand of the queue of {abonnement}", in_hand(run))
        async with run.fault():
            await run.system.broker.delete_queue(run.queue(abonnement))
            await run.consumer.behave(run.path(abonnement), "status")
        await eventually(partial(run.system.broker.bindings_to, run.queue(abonnement)), within=30)
        await run.more(900)


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
        await run.more(900)
        await eventually(partial(back, prefix, ways), within=30)


async def missing_and_nothing_tells(run: Run) -> None:
    """Every queue of an abonnement stands, so there is no gap. `held` gets what no exchange led to it."""
    broker = run.system.broker
    await run.consumer.behave(run.path("retried"), "some", **HALF_FAIL)
    await run.consumer.behave(run.path("purged"), "status", after=states.SLOW)
    await run.consumer.behave(run.path("held"), "hang")
    await run.more(2000)
    for seconds in (4, 1):
        run.may_repeat("came out of a wait queue as it was deleted", 2 * DEAD_LETTERING)
        async with run.fault():
            await broker.delete_queue(names.wait_queue(seconds))
        await run.more(500)
    async with run.fault():
        if not await broker.empty(run.queue("purged")):
            run.problems.append("there was nothing to purge")
        await run.consumer.behave(run.path("purged"), "status")
    await run.held("held")
    run.may_repeat("in hand while the exchange of documenten was missing", in_hand(run))
    async with run.fault():
        await broker.delete_exchange(names.kanaal_exchange("documenten"))
        await run.more(300)
        await eventually(partial(broker.bindings_to, run.queue("held")), within=30)
    for abonnement in ("held", "retried"):
        await run.consumer.behave(run.path(abonnement), "status")
    await run.more(500)


async def undeliverable_deleted(run: Run) -> None:
    """While no keeper runs, so that it holds what is undeliverable. The ledger has that all the same."""
    await run.consumer.behave(run.path("documents"), "some", **states.REFUSE_SOME)
    await run.system.term("ledger")
    await run.more(1500)
    async with run.fault():
        if not await run.system.broker.delete_queue(names.UNDELIVERABLE):
            run.problems.append("there was nothing undeliverable to delete")
        await run.more(600)
    await run.system.start("ledger")
    await run.consumer.behave(run.path("documents"), "status")
    await run.more(600)
    await states.send_again(run, "documents")
    await run.more(300)


async def return_deleted(run: Run) -> None:
    """Every other answer of a callback is a 500, so that messages wait and come back by nrc.return."""
    await run.consumer.behave(run.path("documents"), "some", **HALF_FAIL)
    await run.more(700)
    async with run.fault():
        await run.system.broker.delete_exchange(names.RETURN)
    await run.more(900)
    await run.consumer.behave(run.path("documents"), "status")
    await run.more(900)


SCENARIOS = (
    Scenario(
        "exchange of a kanaal deleted",
        "The exchange of each kanaal is deleted by hand.",
        kanaal_exchange_deleted,
    ),
    Scenario(
        "queue deleted",
        "The queue of one abonnement is deleted by hand with what it holds; then that of another, which is "
        "held, with all that waits for it.",
        queue_deleted,
    ),
    Scenario(
        "exchanges on the way deleted",
        "All headers exchanges of filters are deleted by hand; then the marker of each abonnement.",
        ways_deleted,
    ),
    Scenario(
        "wait queues deleted, a queue purged",
        "Losses of which no queue or marker that is missing tells: while a callback fails every other time "
        "the wait queues of 4 s and of 1 s are deleted by hand; the queue of another abonnement is purged; "
        "the exchange of a kanaal is deleted while a third is held. The keeper finds what is missing when a "
        "queue has been empty for two minutes.",
        missing_and_nothing_tells,
        own_system=True,  # after an alarm the keeper looks for nothing for five minutes
        abonnementen={
            "everything": load.EVERYTHING,
            "retried": load.ONE_ZAAKTYPE,
            "purged": load.EVERYTHING,
            "held": load.DOCUMENTS,
        },
        parts={
            "retried": "Answers every other request with 500, until both wait queues were deleted.",
            "purged": "Slower than notificaties come, until its queue is purged.",
            "held": "Hangs, until the exchange of its kanaal was deleted and stands again.",
        },
        settle=300.0,
        quiet=LOST_TWICE,
    ),
    Scenario(
        "nrc.undeliverable deleted",
        "While no keeper runs and a callback answers 508 to one notificatie in five, the queue in which "
        "what is undeliverable waits for the keeper is deleted by hand. Afterwards `nrc undeliverable "
        "resend` sends all of that.",
        undeliverable_deleted,
        no_errors=True,
    ),
    Scenario(
        "nrc.return deleted",
        "While a callback fails every other time, the exchange by which messages come back from waiting is "
        "deleted by hand.",
        return_deleted,
    ),
)
