"""Deliveries in every state at once: waiting, held, between attempts, undeliverable."""

from __future__ import annotations

from collections.abc import Mapping

from router import names
from tests.chaos.clients import load
from tests.chaos.run import Run
from tests.chaos.system import SCHEDULE

HALF_FAIL = {"every": 2, "by": "request", "then": ["status", {"code": 500}]}
FAIL_FIRST = {"every": 5, "then": ["first", {"then": ["status", {"code": 500}]}]}
"""Not every other request: where one deliverer gets all that fail, the abonnement is held."""
REFUSE_SOME = {"every": 5, "then": ["status", {"code": 508, "headers": {"nrc-hops": "9"}}]}
"""As what goes round is refused, which is undeliverable after the first attempt."""
SLOW = 0.2  # seconds for an answer: with NRC_DELIVERER_PREFETCH, half of what comes

ABONNEMENTEN: Mapping[str, load.Wanted] = {
    "everything": load.EVERYTHING,
    "one-zaaktype": load.ONE_ZAAKTYPE,
    "documents": load.DOCUMENTS,
    "refused": load.slice_of(1, 2),
    "fetched": load.FETCHED,
}
PARTS: Mapping[str, str] = {
    "one-zaaktype": "Answers 500 to the first attempt of one notificatie in five: between attempts.",
    "documents": "Hangs until the fault: held.",
    "refused": "Answers 508 to one notificatie in five, as to what goes round: undeliverable at once.",
    "fetched": "Has no callback: what is for it is in the ledger, until its consumer has acknowledged it.",
}


async def bring_about(run: Run, *, waiting: bool = False) -> None:
    """Some are held, some between attempts, some undeliverable; waiting: and some wait in a queue.

    A problem where there are none of these. For a scenario with ABONNEMENTEN.
    """
    await run.consumer.behave(run.path("one-zaaktype"), "some", **FAIL_FIRST)
    await run.consumer.behave(run.path("documents"), "hang")
    await run.consumer.behave(run.path("refused"), "some", **REFUSE_SOME)
    if waiting:
        await run.consumer.behave(run.path("everything"), "status", after=SLOW)
    await run.more(2000)
    await run.held("documents")
    broker = run.system.broker
    queues = ["everything", "documents"] if waiting else ["documents"]
    ready = await broker.ready(map(run.queue, queues))
    found = {f"in the queue of {name}": ready[run.queue(name)] for name in queues}
    found["between attempts"] = sum((await broker.ready(map(names.wait_queue, set(SCHEDULE)))).values())
    found["undeliverable"] = await run.undeliverable("refused")
    run.problems += [f"nothing was {state}" for state, count in found.items() if not count]


async def well_again(run: Run) -> None:
    """All callbacks do as they should, and what was held is delivered."""
    for name in ABONNEMENTEN:
        await run.consumer.behave(run.path(name), "status")
    if await run.state("documents") != "active":
        await run.system.nrc("abonnement", "resume", str(run.abonnementen["documents"]))


async def send_again(run: Run, name: str = "refused") -> None:
    """An operator has what is undeliverable to an abonnement sent again."""
    await run.system.nrc("undeliverable", "resend", "--abonnement", str(run.abonnementen[name]))
