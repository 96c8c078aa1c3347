"""The deliverer process: what it opens, in which order, and how it stops.

Any number may run at the same time, on one host or several; RabbitMQ distributes the messages.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from functools import partial
from time import monotonic

from aio_pika.abc import AbstractConnection

from deliverer.attempting.concurrency import Slots
from deliverer.attempting.deliver import Deliverer
from deliverer.attempting.faults import Faults
from deliverer.attempting.settle import Settle
from deliverer.consolidating.consolidating import Consolidating
from deliverer.consuming.consumers import Consumers
from deliverer.consuming.prefetch import Budget
from deliverer.consuming.trying import Trying
from deliverer.direct.sending import Direct
from deliverer.events.request import Events, source_of
from deliverer.holding.breaker import Breaker
from deliverer.holding.hold import Holder
from deliverer.holding.probe import Prober
from deliverer.holding.slow_start import SlowStart
from deliverer.http.client import CallbackClient
from deliverer.ordering.asking import Asking
from deliverer.ordering.in_turn import InTurn
from deliverer.ordering.releasing import Releasing
from deliverer.outcomes.account import Account
from deliverer.outcomes.acknowledging import Acknowledging
from deliverer.outcomes.last_failures import LastFailures
from deliverer.pacing.pacing import Pacing
from deliverer.parts import Parts, warnings_of
from ledger.reopening import ReopenedLedger
from ledger.tables.turns import Asked, Turn
from ledger.unwritten import Unwritten
from ledger.values import Delivery, Key
from ledger.writer import Writer
from router.catalogue import Catalogue
from router.publishing import Publisher
from router.requests import RouterClient
from runtime.amqp import Link
from runtime.health import serve_health
from runtime.lifecycle import Tasks, instance_name
from runtime.log import logger
from runtime.settings import Settings
from store.opening import registry_of

LONGEST_REST = 15.0
"""Seconds to which the pauses grow while each connection is lost within a moment: each time every waiting
message may be sent to its callback without being acknowledged."""

LAST_NOTES = 0.5  # seconds to write the last failures
LAST_COMMITS = 1.0  # seconds, at most, for the last commits to the ledger
LEAST_FOR_COMMITS = 0.25  # seconds, at least, also when no time is left

PREFETCH = 2
"""Times NRC_DELIVERER_PREFETCH: RabbitMQ's prefetch. One for the messages that are attempted at once
(`Slots`), one for those that were delivered and wait for a commit of the ledger, which takes as long."""

log = logger(__name__)


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[], None],
    observe: Callable[[Parts], AbstractAsyncContextManager[object]] = nullcontext,
    deliverer_of: Callable[..., Deliverer] = Deliverer,
) -> None:
    """Deliver until `stop`. Raises NrcError for what prevents it from working at all.

    observe: opened around its work, with its parts. deliverer_of: makes the Deliverer, of its arguments.
    """
    async with AsyncExitStack() as opened:
        registry = await opened.enter_async_context(registry_of(settings))
        catalogue = Catalogue(registry, refresh_interval=settings.refresh_interval)
        await catalogue.refresh()
        client = await opened.enter_async_context(CallbackClient.of(settings))
        publisher = Publisher(settings.amqp_url, name="deliverer", mandatory=True)
        # On the connection that publishes: RabbitMQ does not read from that during an alarm, and it must
        # read acknowledgements from the consuming one.
        router = RouterClient(publisher.link)
        into_queues = (
            # Not on the other connection: a queue of a consumer that answers nothing would cut off retries.
            Publisher(settings.amqp_url, name="deliverer direct", mandatory=True, asks=True)
            if settings.amqp_direct
            else None
        )
        slots = Slots(settings.deliverer_concurrency, per_user=settings.deliverer_prefetch)
        last_failures = LastFailures(registry)
        ledger = await opened.enter_async_context(ReopenedLedger.of(settings))
        writer = Writer(ledger, unwritten=Unwritten(settings.registry_file.parent))
        counts = Counter[str]()
        own = f"deliverer {instance_name()}"
        account = Account(writer, partial(_row_of, ledger), process=own, counts=counts)
        acknowledging = Acknowledging()
        settle = Settle(publisher, router, account=account, acknowledging=acknowledging)
        breaker, slow_start = Breaker(), SlowStart(settings.deliverer_prefetch)
        pacing = Pacing(
            catalogue.abonnementen,
            own=own,
            living=partial(_living, ledger),
            enabled=settings.delivery_options,
        )
        pacing.follow()
        catalogue.subscribe(pacing.follow)
        holder = Holder(
            registry=registry,
            catalogue=catalogue,
            router=router,
            breaker=breaker,
            slow_start=slow_start,
            timeout=settings.callback_timeout,
        )
        deliverer = deliverer_of(
            abonnementen=catalogue.abonnementen,
            refresh=catalogue.refresh,
            client=client,
            direct=Direct(into_queues),
            slots=slots,
            settle=settle,
            breaker=breaker,
            slow_start=slow_start,
            gates=pacing.gates,
            consolidating=Consolidating(
                catalogue.abonnementen,
                ledger=lambda: ledger.ledger,
                settle=settle,
                account=account,
                enabled=settings.delivery_options,
            ),
            holder=holder,
            last_failures=last_failures,
            account=account,
            counts=counts,
            events=Events(lambda: catalogue.mappings, source=source_of(settings)),
            schedule=settings.retry_schedule,
            timeout=settings.callback_timeout,
            retention=settings.hold_retention,
        )
        in_turn = InTurn(
            deliverer,
            abonnementen=catalogue.abonnementen,
            asking=Asking(partial(_turns_of, ledger)),
            releasing=Releasing(ledger, writer, publisher, kanalen=lambda: catalogue.kanalen),
            settle=settle,
            account=account,
            writer=writer,
            enabled=settings.delivery_options,
            places=pacing.places,
        )
        budget = Budget(settings.deliverer_memory, prefetch=PREFETCH * settings.deliverer_prefetch)
        faults = Faults(deliverer.failed, account)
        consumers = Consumers(
            catalogue=catalogue,
            router=router,
            deliver=in_turn.deliver,
            faults=faults,
            budget=budget,
            trying=await opened.enter_async_context(Trying(settings.amqp_url)),
            pacing=pacing,
            is_back=account.is_back,
        )
        account.is_cut_off = lambda: consumers.is_cut_off
        prober = Prober(
            holder=holder,
            deliverer=deliverer,
            in_turn=in_turn,
            slots=slots,
            settle=settle,
            last_failures=last_failures,
            account=account,
        )
        link = Link(settings.amqp_url, name="deliverer", longest_rest=LONGEST_REST)

        async def session(connection: AbstractConnection) -> None:
            async with Tasks() as at_work:
                at_work.start("probing", prober.session(connection))
                at_work.start("consuming", consumers.session(connection))
                await at_work.run_until(asyncio.Event())

        def not_ready() -> list[str]:
            if link.connection is None:
                return [f"broker: {link.why_not}"]
            if not publisher.ready:
                return [f"broker: {publisher.why_not}"]
            return [] if consumers.caught_up.is_set() else ["queues: not all are consumed yet"]

        async def report_ready() -> None:
            await consumers.caught_up.wait()
            ready()
            await stop.wait()

        warnings = partial(warnings_of, writer, into_queues, faults)
        await opened.enter_async_context(serve_health(settings.health_listen, not_ready, warnings=warnings))
        parts = Parts(
            catalogue=catalogue,
            counts=counts,
            slots=slots,
            budget=budget,
            deliverer=deliverer,
            consumers=consumers,
            account=account,
            acknowledging=acknowledging,
            last_failures=last_failures,
            writer=writer,
            link=link,
            publisher=publisher,
            into_queues=into_queues,
            not_ready=not_ready,
            warnings=warnings,
        )
        await opened.enter_async_context(observe(parts))
        tasks = await opened.enter_async_context(Tasks())
        tasks.start("registry", catalogue.run())
        tasks.start("publishing", publisher.run())
        if into_queues is not None:
            tasks.start("publishing into queues of consumers", into_queues.run())
        tasks.start("the ledger", writer.run())
        await writer.first_look()  # the first message may be one that the ledger ended
        if pacing.gates:
            await pacing.look()
        tasks.start("consuming", link.run(session))
        tasks.start("pacing", pacing.run())
        tasks.start("noting attempts", last_failures.run())
        tasks.start("acknowledging", acknowledging.run())
        tasks.start("heartbeats", account.run())
        tasks.start("reporting ready", report_ready())
        await tasks.run_until(stop)
        began = monotonic()
        # No request starts any more; messages that wait for their turn are requeued.
        slow_start.close()
        slots.close()
        if not await _wind_down(settle, prober, consumers, within=time_to_finish(settings.stop_timeout)):
            # RabbitMQ hangs: do not wait for it to close.
            link.abort()
            publisher.link.abort()
            if into_queues is not None:
                into_queues.link.abort()
        account.stopped()
        left = settings.stop_timeout - (monotonic() - began)
        within = min(max(LEAST_FOR_COMMITS, left), LAST_COMMITS)
        await asyncio.gather(_write_last(last_failures), writer.close(within=within))
        if acknowledging.late:
            counts["acknowledged late"] = acknowledging.late
        log.info("stopped", **counts)


async def _write_last(last_failures: LastFailures) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_NOTES):
            await last_failures.write()


async def _row_of(ledger: ReopenedLedger, key: Key) -> Delivery | None:
    return await ledger.ledger.delivery(key)


async def _living(ledger: ReopenedLedger) -> Collection[str]:
    return await ledger.ledger.keeping.deliverers()


async def _turns_of(ledger: ReopenedLedger, asked: Sequence[Asked]) -> Sequence[Turn]:
    return await ledger.ledger.turns(asked)


def time_to_finish(stop_timeout: float) -> float:
    """Seconds for requests under way; the rest of the time is for closing."""
    return max(stop_timeout - 1.0, stop_timeout / 2)


async def _wind_down(settle: Settle, prober: Prober, consumers: Consumers, *, within: float) -> bool:
    """Stop so that as little as possible is sent twice; False when RabbitMQ hangs.

    In this order: no message comes in, what had not started is requeued, and what is under way ends, or is
    cancelled and requeued when the time is over.
    """
    await settle.close()
    _, ended = await asyncio.gather(prober.stop(within=within), consumers.stop(within=within))
    return ended
