"""Spans of a gateway: of POST /notificaties, and below it of the message on its way into RabbitMQ."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Handler
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from gateway.accepting import Accepting, Homes
from gateway.app import Mount
from gateway.state import API_ROOT, Gateway
from ledger.values import Entry
from router.history import TRACEPARENT
from router.publishing import Outgoing
from telemetry.traces.context import carried, carry

PATH = f"{API_ROOT}/notificaties"


class TracedAccepting(Accepting):
    """Accepts with a span, whose context goes with the message."""

    def __init__(self, gateway: Gateway, tracer: Tracer) -> None:
        super().__init__(gateway.publisher, gateway.writer, gateway.catalogue)
        self._tracer = tracer

    async def accept(self, message: Outgoing, entry: Entry) -> Homes:
        attributes: dict[str, str | int] = {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": message.exchange,
            "messaging.rabbitmq.destination.routing_key": message.routing_key,
            "messaging.message.id": message.message_id,
            "messaging.message.body.size": len(message.body),
        }
        name = f"send {message.exchange}"
        with self._tracer.start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes) as span:
            context = carry({})
            traced = replace(entry, trace=context.get(TRACEPARENT, ""))
            homes = await super().accept(replace(message, headers={**message.headers, **context}), traced)
            span.set_attribute("nrc.homes", homes.name.lower())
            return homes


def mount_of(tracer: Tracer) -> Mount:
    """Gives each POST /notificaties a span, below the one that its `traceparent` names."""

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "POST" or request.path != PATH:
            return await handler(request)
        attributes = {"http.request.method": "POST", "http.route": PATH, "url.path": PATH}
        with tracer.start_as_current_span(
            f"POST {PATH}", context=carried(request.headers), kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            answer = await handler(request)
            span.set_attribute("http.response.status_code", answer.status)
            if answer.status >= 500:
                span.set_attribute("error.type", str(answer.status))
                span.set_status(StatusCode.ERROR)
            return answer

    def mount(app: web.Application) -> None:
        app.middlewares.insert(0, traced)

    return mount
