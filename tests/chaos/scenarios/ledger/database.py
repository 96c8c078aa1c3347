"""The ledger's database: locked, at its budget, deleted, put back from an older copy. RabbitMQ works.

What is in RabbitMQ is delivered whatever happens to the ledger. Undeliverable deliveries are in the ledger
alone, and so are those that a consumer fetches: only these may be missing after a ledger was deleted or
replaced.
"""

from __future__ import annotations

import asyncio
import time

from tests.chaos.faults.files import locked
from tests.chaos.faults.ledger_file import LedgerFile
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import states
from tests.eventually import eventually

REFUSED, FETCHED = "refused", "fetched"
NOTICED = 30.0
"""Seconds within which all processes have another ledger open: they look every ten."""


async def _tells(run: Run, name: str, event: str, *, told: int) -> None:
    """Return once a process has logged an event more often than it had."""
    await eventually(lambda: _told(run, name, event) > told, within=30, every=0.2)


OLDER = "the ledger is an older copy"


def _told(run: Run, name: str, event: str) -> int:
    """How often a process has logged an event."""
    return run.system.processes[name].log.read_text().count(f'"event":"{event}"')


async def ledger_locked(run: Run) -> None:
    await run.consumer.behave(run.path("one-zaaktype"), "some", **states.HALF_FAIL)
    await run.more(1000)
    async with run.fault(), locked(run.system.ledger.file):
        await run.more(1000)
        await run.lasting(15)
    await run.consumer.behave(run.path("one-zaaktype"), "status")
    await run.more(1000)


BUDGET = 1024**2  # bytes: the least that can be set, and some thousand notificaties


async def ledger_full(run: Run) -> None:
    """Of deliveries that are still to come, so that nothing can be shed. The keeper looks at its start.

    Over its budget the ledger also forgets what was acknowledged at once. RabbitMQ has a copy of what was
    accepted meanwhile for who fetches; where that is taken later than the gateway's entry, it comes again.
    """
    run.acknowledgements_are_forgotten(for_good=True)
    until_full = len(run.publisher.accepted)
    await run.consumer.behave(run.path("everything"), "hang")
    await run.more(3000)
    await run.held("everything")
    async with run.fault():
        await run.system.term("ledger")
        await run.system.start("ledger")
        await _tells(run, "ledger", "the ledger is full", told=0)
        await run.more(1000)
        await run.consumer.behave(run.path("everything"), "status")
        await run.system.nrc("abonnement", "resume", str(run.abonnementen["everything"]))
    await run.more(1000)
    while_full = run.publisher.accepted[until_full:]
    copies = sum(run.wants(FETCHED, post) for post in while_full)
    run.may_repeat("accepted while the ledger was full, and fetched before its copy in RabbitMQ came", copies)


async def _stop_all(run: Run) -> None:
    """Every process but RabbitMQ is stopped, in good order.

    What a deliverer had not acknowledged yet comes again: no ledger knows that it was delivered.
    """
    system = run.system
    system.in_flight("stopped, and the ledger taken away", *system.deliverers)
    for kind in (system.gateways, system.deliverers, system.keepers, system.routers):
        await asyncio.gather(*map(system.term, kind))


async def _undeliverable_since(run: Run, at: float) -> int:
    """How many that were accepted after this moment are undeliverable."""
    late = {post.id for post in run.publisher.accepted if post.accepted > at}
    uuid = run.abonnementen[REFUSED]
    return sum(id_ in late and of == uuid for id_, of in await run.system.undeliverable())


async def _were_ready(run: Run, why: str, *, ledger: LedgerFile | None = None) -> None:
    """What is still to be fetched may be missing: nothing but this ledger has it."""
    uuid = run.abonnementen[FETCHED]
    ready = await asyncio.to_thread((ledger or run.system.ledger).open_of, [uuid])
    run.excuse(why, [FETCHED], posted_before=time.monotonic(), at_most=len(ready))


async def deleted_while_stopped(run: Run) -> None:
    await states.bring_about(run)
    async with run.fault():
        await _stop_all(run)
        gone = await run.undeliverable(REFUSED)
        run.excuse(
            "were undeliverable in the ledger that was deleted",
            [REFUSED],
            posted_before=time.monotonic(),
            at_most=gone,
        )
        await _were_ready(run, "were ready to be fetched in the ledger that was deleted")
        run.system.ledger.remove()
        await run.consumer.behave(run.path(REFUSED), "status")
    await run.system.start_all()
    await states.well_again(run)
    await run.more(1000)


async def deleted_while_running(run: Run) -> None:
    await states.bring_about(run)
    # From now on nothing more becomes undeliverable, so what is can be counted.
    await run.consumer.behave(run.path(REFUSED), "status")
    await run.more(300)
    gone, was = await run.undeliverable(REFUSED), run.system.ledger.mark()
    run.excuse(
        "were undeliverable in the ledger that was deleted",
        [REFUSED],
        posted_before=time.monotonic(),
        at_most=gone,
    )

    def there_is_another() -> bool:
        now = run.system.ledger.mark()
        return bool(now[0]) and now[0] != was[0]

    kept = run.system.ledger.link_to("deleted.db")
    at = time.monotonic()
    async with run.fault():
        run.system.ledger.remove()
        await eventually(there_is_another, within=NOTICED, every=0.5)
        # Until it notices, a gateway goes on writing to the file that nobody can open any more.
        for name in run.system.gateways:
            await _tells(run, name, "database file replaced", told=0)
        # What was acknowledged to it meanwhile is noted there alone.
        run.acknowledgements_are_forgotten(since=at)
    await _were_ready(run, "were ready to be fetched in the ledger that was deleted", ledger=kept)
    await states.well_again(run)
    await run.more(1000)


async def older_copy(run: Run) -> None:
    """What was open in it has been delivered since, or not: an operator has all of that sent again."""
    ledger = run.system.ledger
    await states.bring_about(run)
    copy = ledger.file.with_name("yesterday.db")
    at = time.monotonic()
    await asyncio.to_thread(ledger.copy_to, copy)
    copied = ledger.mark()[1]
    await states.well_again(run)
    await run.consumer.behave(run.path(REFUSED), "some", **states.REFUSE_SOME)
    await run.more(1000)
    await eventually(lambda: ledger.mark()[1] > copied, within=30, every=0.5)
    async with run.fault():
        await _stop_all(run)
        gone = await _undeliverable_since(run, at)
        run.excuse(
            "became undeliverable after the copy of the ledger was made",
            [REFUSED],
            posted_before=time.monotonic(),
            at_most=gone,
        )
        await _were_ready(run, "were ready to be fetched in the ledger that was replaced")
        run.acknowledgements_are_forgotten()
        ledger.replace_by(copy)
        await run.consumer.behave(run.path(REFUSED), "status")
    before = await run.given_back()
    told = _told(run, "ledger", OLDER)
    await run.system.start_all()
    await _tells(run, "ledger", OLDER, told=told)
    await run.more(1000)
    if given := (await run.given_back()).keys() - before.keys():
        run.problems.append(f"{len(given)} of an older copy were given back before an operator said so")
    unsure = await run.system.unsure()
    if not unsure:
        run.problems.append("nothing was unsure")
    run.may_repeat("unsure, and sent again at an operator's word", len(unsure))
    await run.system.nrc("ledger", "audit", "resend", "--yes")
    await states.send_again(run)
    await run.more(300)


SCENARIOS = (
    Scenario(
        "ledger locked",
        "Another process holds a lock on the ledger's database for some 18 s, while a callback fails every "
        "other time. No publisher sees an error.",
        ledger_locked,
        no_errors=True,
    ),
    Scenario(
        "ledger full",
        f"With `NRC_LEDGER_BUDGET={BUDGET}`: an abonnement is held, until the ledger is over its budget and "
        "all of it is still needed; it takes nothing more. No publisher sees an error: RabbitMQ has "
        "what is accepted.",
        ledger_full,
        rate=300.0,
        settings={"NRC_LEDGER_BUDGET": str(BUDGET)},
        no_errors=True,
    ),
    Scenario(
        "ledger deleted, all stopped",
        "All processes but RabbitMQ are stopped, the ledger's database is deleted, and they are started. At "
        "that moment messages are held, between attempts and undeliverable. What RabbitMQ has is delivered; "
        "what was undeliverable was in the ledger alone.",
        deleted_while_stopped,
        abonnementen=states.ABONNEMENTEN,
        parts=states.PARTS,
    ),
    Scenario(
        "ledger deleted, all running",
        "The same while everything runs. Within half a minute all processes have a new ledger.",
        deleted_while_running,
        no_errors=True,
        abonnementen=states.ABONNEMENTEN,
        parts=states.PARTS,
    ),
    Scenario(
        "older ledger put back",
        "A copy of the ledger's database is put back by hand, from before what was held and between attempts "
        "in it was delivered. Nothing of it is given back, until an operator has what is unsure and what is "
        "undeliverable sent again. What became undeliverable after the copy was in the newer ledger alone.",
        older_copy,
        abonnementen=states.ABONNEMENTEN,
        parts=states.PARTS,
        settle=150.0,
    ),
)
