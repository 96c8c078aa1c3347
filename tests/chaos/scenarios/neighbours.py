"""One abonnement, queue or callback that hangs, is slow, is refused or loops, beside others that work."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from itertools import count

from router import names
from tests.chaos.clients import load
from tests.chaos.clients.publisher import Publisher
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.callbacks import FEW, ODD
from tests.chaos.scenarios.rabbitmq.topology import in_hand
from tests.chaos.scenarios.states import HALF_FAIL
from tests.chaos.system import PREFETCH
from tests.eventually import eventually

SLOW = tuple(f"slow-{number}" for number in range(8))
"""With NRC_DELIVERER_PREFETCH each, more than a deliverer has places for one host."""
ONE_ORGANISATION = load.Wanted(
    ({"naam": "zaken", "filters": {"bronorganisatie": load.ORGANISATIONS[0]}},),
    lambda number: not load.is_document(number) and number % 2 == 0,
)


async def slow_neighbours(run: Run) -> None:
    await run.consumer.open(ODD)
    for name in SLOW:
        await run.consumer.behave(run.path(name), "status", after=2.0)
    await asyncio.gather(
        run.subscribe("fast", load.EVERYTHING, port=ODD),
        *(run.subscribe(name, ONE_ORGANISATION, port=ODD) for name in SLOW),
    )
    async with run.fault():
        await run.more(3000)
        for name in SLOW:
            await run.consumer.behave(run.path(name), "status")
    await run.more(300)


HUNG = 15.0  # seconds
RUNGS = tuple(names.wait_queue(seconds) for seconds in (1, 2, 4))


async def hanging_queue(run: Run) -> None:
    """While half of what it gets fails, so that messages come back to it out of the wait queues."""
    await run.consumer.open(ODD)
    await run.consumer.behave(run.path("hung"), "some", **HALF_FAIL)
    refuse = ["first", {"then": ["status", {"code": 500}]}]
    await run.consumer.behave(run.path("retried"), "some", every=3, then=refuse)
    await run.subscribe("hung", load.Wanted(({"naam": "documenten", "filters": {}},), load.is_document))
    await run.subscribe("retried", ONE_ORGANISATION, port=ODD)
    await run.more(2000)
    beside = Publisher(
        run.system.gateway_addresses,
        authorization=run.system.authorization,
        rate=100.0,
        connections=8,
        numbers=count(4_000_000_000, 4),
    )
    on_their_way = sum((await run.system.broker.ready(RUNGS)).values()) + PREFETCH * len(
        run.system.deliverers
    )
    # RabbitMQ sends it again what it does not confirm within ten seconds.
    run.may_repeat("came out of a wait queue for a queue that hung", 2 * on_their_way)
    async with run.fault():
        async with run.system.broker.queue_hangs(run.queue("hung")):
            beside.start()
            await run.lasting(HUNG)
            await beside.stop()
        await run.consumer.behave(run.path("hung"), "status")
    run.publisher.accepted += beside.accepted
    if beside.errors or not beside.accepted:
        seen = Counter(what for _, what in beside.errors)
        run.problems.append(
            f"on another kanaal {len(beside.accepted)} were accepted, and refused: {dict(seen)}"
        )
    await run.more(600)


LEADERLESS = 20.0  # seconds


async def queue_without_leader(run: Run) -> None:
    """It is older than ten seconds, so the router leaves it as it is."""
    await run.consumer.behave(run.path("led-by-nobody"), "some", **HALF_FAIL)
    await run.more(4000)
    run.system.in_flight("cut off at a queue without a leader", *run.system.deliverers)
    async with run.fault():
        async with run.system.broker.without_leader(run.queue("led-by-nobody")):
            await run.lasting(LEADERLESS)
        await run.consumer.behave(run.path("led-by-nobody"), "status")
    await run.more(600)


async def queues_refused(run: Run) -> None:
    """RabbitMQ makes no queue any more; then one abonnement's queue is another's."""
    broker = run.system.broker
    await run.subscribe("replaced", FEW)
    await run.more(300)
    async with run.fault(), broker.no_more_queues():
        await _is_refused(run, "POST", "abonnement", {**_asked(run, "none"), "auth": "Token chaos"})
        await _change(run, "documents")
        await run.more(600)
    await run.subscribe("afterwards", load.DOCUMENTS)
    run.may_repeat("in hand of the queue that was replaced", in_hand(run))
    async with run.fault():
        await broker.replace_queue(run.queue("replaced"))
        await _is_refused(run, "PATCH", f"abonnement/{run.abonnementen['replaced']}", _asked(run, "replaced"))
        await _change(run, "documents")
        await run.more(1200)
        await broker.delete_queue(run.queue("replaced"))
    await eventually(partial(broker.bindings_to, run.queue("replaced")), within=30)
    await run.more(600)


def _asked(run: Run, name: str) -> dict[str, object]:
    return {"callbackUrl": run.consumer.url(run.path(name)), "kanalen": list(load.NOTHING.kanalen)}


async def _is_refused(run: Run, method: str, path: str, body: dict[str, object]) -> None:
    """With a fault of the server, that says what it is."""
    async with run.system.api() as session, session.request(method, path, json=body) as answer:
        await answer.read()
        if answer.status != 503:
            run.problems.append(f"{method} {path} was answered with {answer.status}, not 503")


async def _change(run: Run, name: str) -> None:
    """A PATCH that changes nothing, and must be answered with 200."""
    await run.system.call("PATCH", f"abonnement/{run.abonnementen[name]}", {"auth": "Token chaos"})


MOST_ROUNDS = 5  # NRC_MAX_HOPS, and the one that is refused


async def forwarding_loop(run: Run) -> None:
    """A callback that posts all that it gets to the API that it came from."""
    await run.consumer.open(ODD)
    await run.consumer.behave(
        run.path("forwarding"), "forward", port=run.system.port, authorization=run.system.authorization
    )
    await run.subscribe("forwarding", load.slice_of(0, 1), port=ODD)
    async with run.fault():
        await run.more(2000)
        await run.consumer.behave(run.path("forwarding"), "status")
    await run.more(600)
    requests: dict[int, set[str]] = {}
    for each in await run.consumer.take(run.key):
        if each.abonnement == "forwarding":
            requests.setdefault(each.number, set()).add(each.id)
    forwarding = run.abonnementen["forwarding"]
    ended = sum(uuid == forwarding for _, uuid in await run.system.undeliverable())
    most = max(map(len, requests.values()), default=0)
    if most != MOST_ROUNDS or not ended:
        run.problems.append(f"a notificatie went round {most} times, and {ended} were ended")


SCENARIOS = (
    Scenario(
        "slow neighbours on a host",
        "Eight abonnementen whose callbacks take two seconds, and get more than they can take, beside a "
        "fast one on the same host and port. The fast one waits for none of them.",
        slow_neighbours,
        rate=250.0,
        least=3600,
        abonnementen={},
        parts={"fast": "Answers at once."},
        within={"fast": 10.0},
    ),
    Scenario(
        "queue that hangs",
        "The queue of one abonnement hangs for 15 s, as one without a leader does, with messages on their "
        "way to it out of wait queues. What others get again does not wait for it, and every notificatie of "
        "another kanaal is answered with 201.",
        hanging_queue,
        rate=400.0,
        least=4000,
        parts={
            "hung": "Its queue hangs; until then it answers every other request with 500.",
            "retried": "Answers 500 to the first attempt of one notificatie in three.",
        },
        within={"retried": 8.0},
    ),
    Scenario(
        "queue without a leader",
        f"The queue of one abonnement stands without a leader for {LEADERLESS:g} s, while messages come back "
        "to it out of wait queues. No publisher sees an error, and others do not wait for it.",
        queue_without_leader,
        rate=300.0,
        no_errors=True,
        settle=150.0,
        abonnementen={
            "everything": load.EVERYTHING,
            "one-zaaktype": load.ONE_ZAAKTYPE,
            "led-by-nobody": load.DOCUMENTS,
        },
        parts={
            "one-zaaktype": "Answers at once; on a kanaal that leads to other queues only.",
            "led-by-nobody": "Its queue has no leader; until then it answers every other request with 500.",
        },
        within={"one-zaaktype": 10.0},
    ),
    Scenario(
        "queues that RabbitMQ refuses",
        "RabbitMQ's limit on queues is reached, and an abonnement is refused; then the queue of an "
        "abonnement is replaced by one of another type, and a change of it is refused. Others can "
        "be changed, and no publisher sees an error. Afterwards the queue is made again.",
        queues_refused,
        rate=300.0,
        least=3600,
        no_errors=True,
        parts={"replaced": "Its queue is replaced by hand."},
    ),
    Scenario(
        "callback that forwards to us",
        "A callback posts what it gets to the API that it came from, with the headers of the delivery. After "
        "four deliveries that is answered with 508, and what went round is undeliverable. No "
        "publisher sees an error. What came round counts as publishers' own retries: it has ids of its own.",
        forwarding_loop,
        rate=200.0,
        least=3000,
        no_errors=True,
        parts={"forwarding": "Forwards, and answers as it was answered."},
    ),
)
