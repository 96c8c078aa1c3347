"""Spans of a deliverer: of an attempt to deliver a message, and below it of the request to the callback."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from deliverer.attempting.decide import classify
from deliverer.attempting.deliver import Deliverer
from deliverer.attempting.settle import Delivery
from deliverer.events.request import NoEvent
from deliverer.http.client import Failure, FailureClass, Response
from ledger.ids import received_of
from router import names
from runtime.log import without_secrets
from schemas.abonnement import Abonnement
from schemas.urls import read_url
from telemetry.traces.context import carried, carry, parent_and_links

_ANY = UUID(int=0)
TEMPLATE = names.abonnement_queue(_ANY).replace(str(_ANY), "{uuid}")
"""The queues of all abonnementen: a span's name must not have a UUID in it."""


class TracedDeliverer(Deliverer):
    """Makes each request to a callback within two spans, and tells the callback of the inner one."""

    def __init__(self, tracer: Tracer, **given: Any) -> None:
        super().__init__(**given)
        self._tracer = tracer

    async def send(self, delivery: Delivery, abonnement: Abonnement) -> Response | Failure | NoEvent:
        history = delivery.history
        parent, links = parent_and_links(
            carried(delivery.kept), first=not (history.attempts or history.round), age=_age(delivery)
        )
        attributes: dict[str, str | int] = {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": names.abonnement_queue(delivery.abonnement),
            "messaging.destination.template": TEMPLATE,
            "messaging.rabbitmq.message.delivery_tag": delivery.tag,
            "messaging.message.id": delivery.notificatie,
            "messaging.message.body.size": len(delivery.body),
            "nrc.attempt": history.attempts + 1,
        }
        with (
            self._tracer.start_as_current_span(
                f"process {TEMPLATE}",
                context=parent,
                kind=SpanKind.CONSUMER,
                attributes=attributes,
                links=links,
            ) as process,
            self._tracer.start_as_current_span(
                "POST", kind=SpanKind.CLIENT, attributes=_of_request(delivery, abonnement)
            ) as request,
        ):
            answer = await super().send(delivery, abonnement)
            _conclude(process, request, answer)
            return answer

    def headers(self, delivery: Delivery, abonnement: Abonnement) -> dict[str, str]:
        return carry(super().headers(delivery, abonnement))


def _age(delivery: Delivery) -> float:
    """Seconds since it was accepted; 0 when that is not known."""
    received = received_of(delivery.key.notificatie)
    return 0.0 if received is None else time.time() - received / 1000


def _of_request(delivery: Delivery, abonnement: Abonnement) -> dict[str, str | int]:
    url = abonnement.callback_url
    attributes: dict[str, str | int] = {"http.request.method": "POST", "url.full": without_secrets(url)}
    if delivery.history.attempts:
        attributes["http.request.resend_count"] = delivery.history.attempts
    try:
        address = read_url(url)
        attributes |= {"server.address": address.host or "", "server.port": address.port or 0}
    except ValueError:
        pass
    return attributes


def _conclude(process: Span, request: Span, answer: Response | Failure | NoEvent) -> None:
    """Note what the callback answered, or why it did not."""
    if isinstance(answer, NoEvent):
        return
    failure = classify(answer)
    status = answer.status
    if status is not None:
        request.set_attribute("http.response.status_code", status)
    if failure is None:
        return
    kind = str(status) if failure.kind is FailureClass.HTTP_STATUS else failure.kind.value
    for span in (process, request):
        span.set_attribute("error.type", kind)
        span.set_status(StatusCode.ERROR, failure.detail)
