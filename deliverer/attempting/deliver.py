"""The path of one message, on one screen: prepare, check, send, classify and decide, settle."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from time import monotonic, perf_counter
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from aiormq.abc import DeliveredMessage

from deliverer.attempting.concurrency import Slots
from deliverer.attempting.decide import (
    TOO_MANY,
    Decision,
    PutOff,
    Retry,
    Suspend,
    Undeliverable,
    asked_wait,
    classify,
    decide,
    next_rung,
)
from deliverer.attempting.settle import Delivery, Origin, Settle
from deliverer.attempting.wanted import drops_by_attribute, is_wanted
from deliverer.consolidating.consolidating import Consolidating
from deliverer.direct.sending import Direct
from deliverer.events.request import Events, NoEvent, Rendered
from deliverer.holding.breaker import Breaker
from deliverer.holding.hold import Holder
from deliverer.holding.slow_start import SlowStart
from deliverer.http.client import MAX_DETAIL, CallbackClient, Failure, FailureClass, Response
from deliverer.outcomes.account import FINAL_IN_ANY_CASE, Account, is_again
from deliverer.outcomes.last_failures import LastFailures
from deliverer.pacing.gates import Gate
from ledger.ids import id_of_message
from ledger.values import Key
from router.history import HOPS, PASSED_ON, in_queue_since, kept_headers, passed_on, read_history, read_hops
from runtime.log import Occasional, logger
from runtime.metrics.histogram import LATENCIES, Histogram
from schemas.abonnement import Abonnement, State
from schemas.errors import RegistryError
from schemas.urls import read_url

REPORT_INTERVAL = 30.0  # seconds
PAUSE = 1.0  # seconds after a 429 without Retry-After
LONGEST_TURN = 600.0  # seconds to wait for a place; RabbitMQ allows 30 minutes for a message in all
LOOK_TIMEOUT = 0.25  # seconds; after that an attempt is made with the copy as it is, and nothing is dropped

log = logger(__name__)


class Deliverer:
    """Delivers messages. counts: how many ended in which way, since the process started.

    took: seconds until a callback answered or failed.
    refresh: brings `abonnementen` up to date with the registry; raises RegistryError.
    gates: of the abonnementen that are paced.
    timeout, retention: seconds.
    """

    def __init__(
        self,
        *,
        abonnementen: Mapping[UUID, Abonnement],
        refresh: Callable[[], Awaitable[None]],
        client: CallbackClient,
        direct: Direct,
        slots: Slots,
        settle: Settle,
        breaker: Breaker,
        slow_start: SlowStart,
        gates: Mapping[UUID, Gate],
        consolidating: Consolidating,
        holder: Holder,
        last_failures: LastFailures,
        account: Account,
        counts: Counter[str],
        events: Events,
        schedule: Sequence[int],
        timeout: float,
        retention: float,
    ) -> None:
        self._abonnementen = abonnementen
        self._refresh = refresh
        self._client = client
        self._direct = direct
        self._slots = slots
        self._settle = settle
        self._breaker = breaker
        self._slow_start = slow_start
        self._gates = gates
        self._consolidating = consolidating
        self._holder = holder
        self._last_failures = last_failures
        self._account = account
        self._events = events
        self._schedule = schedule
        self._timeout = timeout
        self._retention = retention
        self._shortages = Occasional(every=REPORT_INTERVAL)
        self.counts = counts
        self.took = Histogram(LATENCIES)

    async def deliver(self, delivery: Delivery) -> bool:
        """Deliver one message and settle it; whether the callback accepted it.

        Cancelled, it settles nothing: RabbitMQ delivers it again.
        """
        with self._account.in_hand(delivery.key):
            return await self._deliver(delivery)

    def waits(self, delivery: Delivery) -> bool:
        """Whether its time has not come yet."""
        waits = next_rung(delivery.history, now=datetime.now(UTC)) is not None
        return waits and not self._consolidating.was_put_off_too_long(delivery)

    async def _deliver(self, delivery: Delivery) -> bool:
        if self.waits(delivery):
            await self._settle.wait_on(delivery)
            return False
        succeeded = False
        try:
            async with asyncio.timeout(LONGEST_TURN) as turn:
                gate = await self._slow_start.enter(delivery.abonnement)
                try:
                    paced = self._gates.get(delivery.abonnement)
                    if paced is None:
                        succeeded = await self._attempt(delivery, turn)
                    else:
                        succeeded = await self._attempt_in_turn(delivery, turn, paced)
                finally:
                    self._slow_start.leave(gate, succeeded=succeeded)
        except TimeoutError:
            if not turn.expired():
                raise
            await self._settle.rest(delivery)
        return succeeded

    async def _attempt_in_turn(self, delivery: Delivery, turn: asyncio.Timeout, gate: Gate) -> bool:
        """As `_attempt`, by its options: when it is its turn, and when no newer one stands for it."""
        abonnement = self._active(delivery)
        if abonnement is not None and not is_wanted(delivery, abonnement):
            return await self._attempt(delivery, turn)  # ends it; it takes no turn, and no row while it waits
        if await self._consolidating.settles(delivery):
            return False
        succeeded = False
        try:
            async with gate.turn(delivery.consumer_stopped) as has_turn:
                if has_turn:
                    succeeded = await self._attempt(delivery, turn)
                    return succeeded
        finally:
            if not succeeded:  # also when it did not get its turn, or RabbitMQ went away
                self._consolidating.failed(delivery)
        await self._settle.hold(delivery)
        return False

    async def _attempt(self, delivery: Delivery, turn: asyncio.Timeout) -> bool:
        """Whether the callback accepted it. turn: the timeout of waiting for a place."""
        abonnement, user = self._active(delivery), delivery.abonnement
        has_place = abonnement is not None and await self._slots.take(
            host := host_of(abonnement.callback_url), user
        )
        turn.reschedule(None)
        if not has_place:
            await self._settle.hold(delivery)
            return False
        answer: Response | Failure | NoEvent | None = None
        overtaken = False
        try:
            # Address, auth and filters are those of the moment of sending: a change that was answered 200
            # before this message was accepted applies to it, also when this process missed the hint.
            fresh = await self.look()
            started = perf_counter()
            abonnement = self._active(delivery)
            if abonnement is not None and is_wanted(delivery, abonnement):
                overtaken = await self.overtaken(delivery)
                if not overtaken:
                    answer = await self.send(delivery, abonnement)
        finally:
            self._slots.give(host, user)
        if abonnement is None:
            await self._settle.hold(delivery)
        elif overtaken:
            await self._settle.drop(delivery)
        elif answer is None or isinstance(answer, NoEvent):
            await self.drop(delivery, abonnement, fresh=fresh, no_event=answer)
        else:
            self.took.observe(seconds := perf_counter() - started)
            milliseconds = round(seconds * 1000, 1)
            return await self._conclude(delivery, abonnement, answer, milliseconds=milliseconds)
        return False

    async def look(self) -> bool:
        """Bring `abonnementen` up to date; False when the registry cannot be read in time."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                await self._refresh()
        except (TimeoutError, RegistryError):
            return False
        return True

    async def overtaken(self, delivery: Delivery) -> bool:
        """Whether the ledger says that no attempt is to be made.

        Only asked for a message that may have been attempted or settled before, or held for too long.
        """
        may_be = delivery.again or self.was_held_too_long(delivery)
        return may_be and await self._account.overtaken(delivery.key, delivery.history)

    def was_held_too_long(self, delivery: Delivery) -> bool:
        """Whether it waits for longer than NRC_HOLD_RETENTION."""
        since = in_queue_since(delivery.kept, delivery.timestamp)
        return since is not None and (datetime.now(UTC) - since).total_seconds() > self._retention

    async def drop(
        self, delivery: Delivery, abonnement: Abonnement, *, fresh: bool, no_event: NoEvent | None = None
    ) -> None:
        """Acknowledge a message that is not wanted; when the registry cannot be read, retry it later.

        no_event: it is not, because it becomes no CloudEvent.
        """
        if not fresh:
            log.debug("not wanted by an old copy", notificatie=delivery.notificatie)
            await self._settle.rest(delivery)
            return
        self.counts["not wanted"] += 1
        log.debug("not wanted", notificatie=delivery.notificatie, abonnement=str(delivery.abonnement))
        if no_event is not None:
            self._account.no_event(delivery.key, delivery.history, detail=no_event.detail)
        else:
            by_attribute = drops_by_attribute(abonnement, delivery.body)
            change = FINAL_IN_ANY_CASE if by_attribute else abonnement.kanalen_change
            self._account.not_wanted(delivery.key, delivery.history, kanalen_change=change)
        await self._settle.drop(delivery)

    def _active(self, delivery: Delivery) -> Abonnement | None:
        abonnement = self._abonnementen.get(delivery.abonnement)
        return abonnement if abonnement is not None and abonnement.state is State.ACTIVE else None

    async def send(self, delivery: Delivery, abonnement: Abonnement) -> Response | Failure | NoEvent:
        """The callback's answer to this message, or why there is none. NoEvent: it is not to be sent.

        Raises nothing but cancellation: of a fault of ours each attempt counts, so that it comes to an end
        that people see, and holds up no others.
        """
        try:
            return await self._send(delivery, abonnement)
        except Exception as error:
            facts = {"notificatie": delivery.notificatie, "abonnement": str(delivery.abonnement)}
            log.exception("attempt failed unexpectedly", **facts)
            return unexpected(error)

    async def _send(self, delivery: Delivery, abonnement: Abonnement) -> Response | Failure | NoEvent:
        body, headers = delivery.body, self.headers(delivery, abonnement)
        if abonnement.options is not None:
            made = self._events.of(abonnement.options, id=delivery.notificatie, body=body)
            if not isinstance(made, Rendered):
                return made
            body, headers = made.body, headers | made.headers
        if abonnement.is_amqp:
            return await self._direct.send(delivery, headers=headers, body=body)
        return await self._client.post(
            abonnement.callback_url,
            body=body,
            headers=headers,
            timeout=self._timeout,
            auth=abonnement.callback_auth,
        )

    def headers(self, delivery: Delivery, abonnement: Abonnement) -> dict[str, str]:
        """The headers of the request to its callback."""
        return {
            "Authorization": abonnement.auth,
            "webhook-id": delivery.notificatie,
            "nrc-abonnement": str(abonnement.uuid),
            "nrc-attempt": str(delivery.history.attempts + 1),
            HOPS: str(read_hops(delivery.kept) + 1),
            **({} if PASSED_ON.isdisjoint(delivery.kept) else passed_on(delivery.kept)),
        }

    async def _conclude(
        self, delivery: Delivery, abonnement: Abonnement, answer: Response | Failure, *, milliseconds: float
    ) -> bool:
        """Carry out the decision on the answer. Whether it was delivered."""
        failure = classify(answer)
        decision = decide(answer, history=delivery.history, schedule=self._schedule, now=datetime.now(UTC))
        if failure is None:
            self.counts["delivered"] += 1
            log.info("delivered", **facts_of(delivery, milliseconds))
            self._breaker.succeeded(abonnement.uuid)
            await self._settle.delivered(delivery, status=answer.status or 0, ms=milliseconds)
            return True
        if isinstance(decision, PutOff):
            await self.put_off(delivery, failure)
            return False
        self.counts[str(failure.kind)] += 1
        self._last_failures.failed(abonnement.uuid, failure)
        if failure.status == TOO_MANY:
            asked = asked_wait(answer, now=datetime.now(UTC))
            self._slow_start.narrow(abonnement.uuid, pause=asked or PAUSE)
        facts = {**facts_of(delivery, milliseconds), **why_of(failure)}
        if await self._withheld(delivery, abonnement, failure, decision):
            # It is back in its queue without a counted attempt, and stays there.
            log.warning("attempt failed", **facts, again="when its abonnement goes on")
            if not isinstance(decision, Suspend):
                self._account.not_counted(delivery.key, failure, ms=milliseconds)
            await self._settle.hold(delivery)
            return False
        await self._again_or_never(delivery, decision, facts, ms=milliseconds)
        return False

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Count a fault of ours outside `send` as a failed attempt; it does not hold the abonnement.

        So it comes to an end that people see. It says nothing of the callback.
        """
        if self._active(delivery) is None:
            await self._settle.hold(delivery)
            return
        failure = unexpected(error)
        self.counts[str(failure.kind)] += 1
        self._last_failures.failed(delivery.abonnement, failure)
        decision = decide(failure, history=delivery.history, schedule=self._schedule, now=datetime.now(UTC))
        facts = {**facts_of(delivery, 0.0), **why_of(failure)}
        await self._again_or_never(delivery, decision, facts, ms=0.0)

    async def _again_or_never(
        self, delivery: Delivery, decision: Decision, facts: Mapping[str, Any], *, ms: float
    ) -> None:
        match decision.otherwise if isinstance(decision, Suspend) else decision:
            case Retry() as retry:
                log.warning("attempt failed", **facts, again=_when(retry))
                await self._settle.retry(delivery, retry, ms=ms)
            case Undeliverable() as verdict:
                await self.give_up(delivery, verdict, facts, ms=ms)

    async def give_up(
        self, delivery: Delivery, verdict: Undeliverable, facts: Mapping[str, Any], *, ms: float
    ) -> None:
        """Make it undeliverable. facts: of its last attempt, which took `ms` milliseconds."""
        self.tell_undeliverable(facts)
        await self._settle.undeliverable(delivery, verdict, ms=ms)

    def tell_undeliverable(self, facts: Mapping[str, Any]) -> None:
        """Count one that ends undelivered, and log it with these facts."""
        self.counts["undeliverable"] += 1
        log.error("undeliverable", **facts)

    async def put_off(self, delivery: Delivery, failure: Failure) -> None:
        """Send it through a short wait queue, without counting an attempt."""
        self.counts[str(failure.kind)] += 1
        if times := self._shortages.due():
            log.warning("no files or memory left for requests", detail=failure.detail, times=times)
        log.debug("put off", notificatie=delivery.notificatie, abonnement=str(delivery.abonnement))
        await self._settle.rest(delivery)

    async def _withheld(
        self, delivery: Delivery, abonnement: Abonnement, failure: Failure, decision: Decision
    ) -> bool:
        """Whether the abonnement is held, by this failure or before it."""
        if isinstance(decision, Suspend):
            return await self._holder.suspend(abonnement, decision.reason)
        if self._breaker.failed(abonnement.uuid, delivery.notificatie, failure, now=monotonic()):
            return await self._holder.hold(abonnement, failure)
        return self._holder.withheld(abonnement.uuid)


def _when(retry: Retry) -> str:
    due = retry.history.due
    return f"in {retry.step} s" if due is None else datetime.fromtimestamp(due / 1000, UTC).isoformat()


def facts_of(delivery: Delivery, milliseconds: float) -> dict[str, Any]:
    """Facts for every log line about an attempt."""
    return {
        "notificatie": delivery.notificatie,
        "abonnement": str(delivery.abonnement),
        "attempt": delivery.history.attempts + 1,
        "ms": milliseconds,
    }


def why_of(failure: Failure) -> dict[str, Any]:
    """Facts for a log line about a failed attempt."""
    return {"failure": str(failure.kind), "detail": failure.detail}


def unexpected(error: Exception) -> Failure:
    """The failure of an attempt in which something here raised this."""
    return Failure(FailureClass.UNEXPECTED, f"{type(error).__name__}: {error}"[:MAX_DETAIL])


def prepare(
    message: DeliveredMessage, *, abonnement: UUID, origin: Origin, consumer_stopped: asyncio.Event
) -> Delivery:
    """The delivery of a message, whatever the message holds."""
    tag = message.delivery_tag or 0
    origin.came(tag)
    properties = message.header.properties
    found = properties.headers or {}
    history = read_history(found)
    notificatie = _id_of(properties.message_id)
    return Delivery(
        notificatie=notificatie,
        abonnement=abonnement,
        key=Key(id_of_message(notificatie), abonnement, history.replay),
        body=message.body,
        kept=kept_headers(found),
        timestamp=properties.timestamp,
        history=history,
        origin=origin,
        tag=tag,
        consumer_stopped=consumer_stopped,
        again=is_again(history, redelivered=bool(message.redelivered)),
    )


def _id_of(message_id: str | None) -> str:
    """The id of a notificatie. A gateway's is a UUID; one put in by hand may not fit in an HTTP header."""
    if not message_id:
        return str(uuid4())
    if message_id.isascii() and message_id.isprintable() and message_id == message_id.strip():
        return message_id
    return str(uuid5(NAMESPACE_OID, message_id))  # the same at each attempt


@lru_cache(maxsize=4096)
def host_of(url: str) -> str:
    """The host of a URL, by which `Slots` counts."""
    try:
        address = read_url(url)
        return f"{address.host}:{address.port}" if address.host else url
    except ValueError:
        return url
