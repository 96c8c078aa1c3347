"""The path of one message: prepare, check, send, classify and decide, settle."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

import orjson
from aiormq.abc import DeliveredMessage
from yarl import URL

from deliverer.client import CallbackClient, Failure, Response
from deliverer.decide import Decision, Delivered, Retry, Suspend, Undeliverable, classify, decide, next_rung
from deliverer.headers import kept_headers, read_history
from deliverer.settle import Delivery, Origin, Settle
from deliverer.slots import Slots
from deliverer.suspend import Suspender
from router.filters import has_filters, matches
from runtime.log import logger
from schemas.abonnement import Abonnement, State
from schemas.errors import ParseError
from schemas.jsontext import read_json

log = logger(__name__)


class Deliverer:
    """Brings messages to their end. `counts`: how many came to which, since the process started."""

    def __init__(
        self,
        *,
        abonnementen: Mapping[UUID, Abonnement],
        client: CallbackClient,
        slots: Slots,
        settle: Settle,
        suspender: Suspender,
        schedule: Sequence[int],
        timeout: float,
    ) -> None:
        self._abonnementen = abonnementen
        self._client = client
        self._slots = slots
        self._settle = settle
        self._suspender = suspender
        self._schedule = schedule
        self._timeout = timeout
        self.counts: Counter[str] = Counter()

    async def deliver(self, delivery: Delivery) -> None:
        """Bring one message to its end. Cancelled, it settles nothing, and RabbitMQ delivers it again."""
        if next_rung(delivery.history, now=datetime.now(UTC)) is not None:
            await self._settle.wait_on(delivery)
            return
        # Whether an endpoint is attempted at all (a circuit breaker) is to be decided here.
        abonnement = self._active(delivery)
        if abonnement is None or not await self._slots.take(host := _host(abonnement.callback_url)):
            await self._settle.hold(delivery)
            return
        answer, started = None, perf_counter()
        try:
            # Address, auth and filters are those of the moment of sending.
            abonnement = self._active(delivery)
            if abonnement is not None and wants(abonnement, delivery.body):
                answer = await self._send(delivery, abonnement)
        finally:
            self._slots.give(host)
        if abonnement is None:
            await self._settle.hold(delivery)
        elif answer is None:
            self.counts["not wanted"] += 1
            log.debug("not wanted", notificatie=delivery.notificatie, abonnement=str(delivery.abonnement))
            await self._settle.done(delivery)
        else:
            milliseconds = round((perf_counter() - started) * 1000, 1)
            await self._conclude(delivery, abonnement, answer, milliseconds=milliseconds)

    def _active(self, delivery: Delivery) -> Abonnement | None:
        abonnement = self._abonnementen.get(delivery.abonnement)
        return abonnement if abonnement is not None and abonnement.state is State.ACTIVE else None

    async def _send(self, delivery: Delivery, abonnement: Abonnement) -> Response | Failure:
        return await self._client.post(
            abonnement.callback_url,
            body=delivery.body,
            headers={
                "Authorization": abonnement.auth,
                "webhook-id": delivery.notificatie,
                "nrc-abonnement": str(abonnement.uuid),
                "nrc-attempt": str(delivery.history.attempts + 1),
            },
            timeout=self._timeout,
        )

    async def _conclude(
        self, delivery: Delivery, abonnement: Abonnement, answer: Response | Failure, *, milliseconds: float
    ) -> None:
        decision = decide(answer, history=delivery.history, schedule=self._schedule, now=datetime.now(UTC))
        self._report(delivery, answer, decision, milliseconds)
        if isinstance(decision, Suspend):
            if await self._suspender.suspend(abonnement, decision.reason):
                # Back in its queue with no attempt counted, and held there until somebody resumes.
                await self._settle.hold(delivery)
                return
            decision = decision.otherwise
        match decision:
            case Delivered():
                await self._settle.done(delivery)
            case Retry():
                await self._settle.retry(delivery, decision)
            case Undeliverable():
                await self._settle.undeliverable(delivery, decision)

    def _report(
        self, delivery: Delivery, answer: Response | Failure, decision: Decision, milliseconds: float
    ) -> None:
        facts: dict[str, Any] = {
            "notificatie": delivery.notificatie,
            "abonnement": str(delivery.abonnement),
            "attempt": delivery.history.attempts + 1,
            "ms": milliseconds,
        }
        if (failure := classify(answer)) is None:
            self.counts["delivered"] += 1
            log.info("delivered", **facts)
            return
        self.counts[str(failure.kind)] += 1
        facts |= {"failure": str(failure.kind), "detail": failure.detail}
        match decision:
            case Undeliverable():
                self.counts["undeliverable"] += 1
                log.error("undeliverable", **facts)
            case Retry(history=history, step=step):
                due = None if history.due is None else datetime.fromtimestamp(history.due / 1000, UTC)
                log.warning(
                    "attempt failed", **facts, again=f"in {step} s" if due is None else due.isoformat()
                )
            case _:
                log.warning("attempt failed", **facts)


def prepare(
    message: DeliveredMessage, *, abonnement: UUID, origin: Origin, consumer_stopped: asyncio.Event
) -> Delivery:
    """What there is to know of a message that came in. Takes anything that can be in a queue."""
    properties = message.header.properties
    found = properties.headers or {}
    return Delivery(
        notificatie=properties.message_id or str(uuid4()),
        abonnement=abonnement,
        body=message.body,
        kept=kept_headers(found),
        timestamp=properties.timestamp,
        history=read_history(found),
        origin=origin,
        tag=message.delivery_tag or 0,
        consumer_stopped=consumer_stopped,
    )


def wants(abonnement: Abonnement, body: bytes) -> bool:
    """Whether this abonnement's filters let this message through.

    RabbitMQ's bindings already did most of it, and may have been wider. A body that can't be read never came
    through the gateway, and is let through: to drop it could be to lose it.
    """
    if not has_filters(abonnement):
        return True
    try:
        data = _read(body)
        return matches(abonnement, data["kanaal"], data.get("kenmerken", {}))
    except (ParseError, KeyError, TypeError, AttributeError):
        return True


def _read(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return read_json(body)  # slower, and takes what the gateway takes: half surrogates, deeper nesting


@lru_cache(maxsize=4096)
def _host(url: str) -> str:
    """What counts as one host when places are shared out."""
    try:
        address = URL(url)
        return f"{address.host}:{address.port}"
    except ValueError:
        return url
