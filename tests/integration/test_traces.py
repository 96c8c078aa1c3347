"""One trace from a publisher's `traceparent` through RabbitMQ to the callback, and links for later attempts.

Gateway, router and deliverer at work; their spans go into memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from deliverer.service import serve as serve_deliverer
from ledger.opening import ledger_of
from ledger.operating.sending import Sending
from ledger.values import Delivery, State
from router.publishing import Publisher
from runtime.lifecycle import Tasks
from runtime.settings import Settings
from telemetry.observing import Observing
from telemetry.traces.context import SOON, carried, parent_and_links
from telemetry.traces.deliverer import TEMPLATE
from tests.callback_server import CallbackServer, status
from tests.contract.api import Api, a_naam, abonnement_of, message
from tests.contract.conftest import open_stage
from tests.contract.publishing.test_api_homes import id_of
from tests.eventually import eventually
from tests.integration.conftest import running

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
CALLBACK = "/c?key=hidden"  # the key is nobody's business
NOT_SAMPLED = f"00-{TRACE}-{SPAN}-00"


@dataclass
class Traced:
    """A gateway and a deliverer whose spans are kept, and a kanaal with one abonnement."""

    settings: Settings
    api: Api
    naam: str
    callback: CallbackServer
    exporter: InMemorySpanExporter

    async def publish(self, **headers: str) -> str:
        """Publish with these headers; the notificatie's id."""
        answer = await self.api.post("/notificaties", message(self.naam), headers=headers)
        assert answer.status == 201
        return str(id_of(answer))

    def spans(self, kind: SpanKind) -> Sequence[ReadableSpan]:
        """Those that ended, in that order."""
        return [each for each in self.exporter.get_finished_spans() if each.kind is kind]

    async def ended(self, kind: SpanKind, count: int = 1) -> Sequence[ReadableSpan]:
        """So many of this kind, once they ended."""
        return await eventually(lambda: found if len(found := self.spans(kind)) == count else None, within=30)


def trace_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return format_trace_id(context.trace_id)


def span_id(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return format_span_id(context.span_id)


def parent_of(span: ReadableSpan) -> str:
    return format_span_id(span.parent.span_id) if span.parent else ""


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@asynccontextmanager
async def traced(url: str, folder: Path) -> AsyncIterator[Traced]:
    """From ready to stopped."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with open_stage(url, folder) as stage, CallbackServer() as callback:
        settings = stage.settings.model_copy(update={"retry_schedule": (1, 1)})
        async with stage.gateway(provider=provider) as api:
            naam = a_naam()
            assert (await api.post("/kanaal", {"naam": naam})).status == 201
            asked = {**abonnement_of(naam), "callbackUrl": callback.url(CALLBACK)}
            assert (await api.post("/abonnement", asked)).status == 201
            observing = Observing("deliverer", settings, provider=provider)
            async with running(
                serve_deliverer, settings, observe=observing.observe, **observing.of_deliverer
            ):
                yield Traced(settings, api, naam, callback, exporter)


async def test_one_trace_from_the_publisher_to_the_callback(vhost: str, tmp_path: Path) -> None:
    async with traced(vhost, tmp_path) as system:
        notificatie = await system.publish(traceparent=PARENT, tracestate="vendor=1")
        (request,) = await system.ended(SpanKind.CLIENT)
        (server,), (producer,) = system.spans(SpanKind.SERVER), system.spans(SpanKind.PRODUCER)
        (consumer,) = await system.ended(SpanKind.CONSUMER)
        chain = (server, producer, consumer, request)
        assert {trace_of(each) for each in chain} == {TRACE}
        assert [parent_of(each) for each in chain] == [
            SPAN,
            span_id(server),
            span_id(producer),
            span_id(consumer),
        ]
        assert not consumer.links
        (received,) = system.callback.at(CALLBACK)
        assert received.header("traceparent") == f"00-{TRACE}-{span_id(request)}-01"
        assert received.header("tracestate") == "vendor=1"
        await what_the_spans_say(system, notificatie, *chain)


async def what_the_spans_say(
    system: Traced,
    notificatie: str,
    server: ReadableSpan,
    producer: ReadableSpan,
    consumer: ReadableSpan,
    request: ReadableSpan,
) -> None:
    exchange = f"nrc.kanaal.{system.naam}"
    assert [each.name for each in (server, producer, consumer, request)] == [
        "POST /api/v1/notificaties",
        f"send {exchange}",
        f"process {TEMPLATE}",
        "POST",
    ]
    assert attributes(server)["http.response.status_code"] == 201
    sent, processed = attributes(producer), attributes(consumer)
    assert (sent["messaging.operation.type"], processed["messaging.operation.type"]) == ("send", "process")
    assert sent["messaging.destination.name"] == exchange
    assert sent["nrc.homes"] == "both"
    assert sent["messaging.message.id"] == processed["messaging.message.id"] == notificatie
    assert processed["messaging.destination.template"] == TEMPLATE == "nrc.abonnement.{uuid}"
    assert processed["messaging.destination.name"].startswith("nrc.abonnement.")
    assert processed["messaging.rabbitmq.message.delivery_tag"] > 0
    assert attributes(request)["http.response.status_code"] == 204
    assert attributes(request)["server.port"] == system.callback.port
    assert "hidden" not in str(attributes(request)), "a callback may have a secret in its query"


async def test_a_later_attempt_is_a_trace_of_its_own_that_links_to_it(vhost: str, tmp_path: Path) -> None:
    async with traced(vhost, tmp_path) as system:
        system.callback.script(CALLBACK, status(500), status(204))
        await system.publish(traceparent=PARENT)
        first, second = await system.ended(SpanKind.CONSUMER, 2)
        assert trace_of(first) == TRACE
        assert first.status.status_code is StatusCode.ERROR
        assert attributes(first)["error.type"] == "500"
        assert trace_of(second) != TRACE
        assert parent_of(second) == ""
        (link,) = second.links
        assert format_trace_id(link.context.trace_id) == TRACE
        assert format_span_id(link.context.span_id) == parent_of(first)
        assert attributes(second)["nrc.attempt"] == 2
        assert second.status.status_code is StatusCode.UNSET
        _, again = system.spans(SpanKind.CLIENT)
        assert attributes(again)["http.request.resend_count"] == 1
        assert trace_of(again) == trace_of(second)


async def test_what_is_sent_again_out_of_the_ledger_links_to_it(vhost: str, tmp_path: Path) -> None:
    async with traced(vhost, tmp_path) as system, ledger_of(system.settings) as ledger, Tasks() as tasks:
        notificatie = UUID(await system.publish(traceparent=PARENT))
        await system.ended(SpanKind.CONSUMER)
        (producer,) = system.spans(SpanKind.PRODUCER)

        async def delivered() -> Sequence[Delivery]:
            rows = (await ledger.deliveries([notificatie]))[notificatie]
            return [each for each in rows if each.state is State.DELIVERED]

        rows = await eventually(delivered, within=30)
        publisher = Publisher(system.settings.amqp_url, name="test", mandatory=True)
        tasks.start("publishing", publisher.run())
        await publisher.wait_ready(20)
        sending = Sending(ledger, publisher, kanalen={})
        assert not (await sending.replay(notificatie, rows[0].key.abonnement, number=1)).problem
        _, again = await system.ended(SpanKind.CONSUMER, 2)
        assert trace_of(again) != TRACE
        (link,) = again.links
        assert format_trace_id(link.context.trace_id) == TRACE
        assert format_span_id(link.context.span_id) == span_id(producer)


async def test_what_is_not_sampled_passes_on_and_what_is_malformed_begins_anew(
    vhost: str, tmp_path: Path
) -> None:
    async with traced(vhost, tmp_path) as system:
        await system.publish(traceparent=NOT_SAMPLED)
        await eventually(lambda: system.callback.at(CALLBACK), within=30)
        received = system.callback.at(CALLBACK)[0].header("traceparent")
        assert received is not None and received.startswith(f"00-{TRACE}-") and received.endswith("-00")
        assert not system.exporter.get_finished_spans()
        await system.publish(traceparent="nonsense")
        (request,) = await system.ended(SpanKind.CLIENT)
        assert trace_of(request) not in (TRACE, "0" * 32)
        assert {trace_of(each) for each in system.exporter.get_finished_spans()} == {trace_of(request)}


@pytest.mark.parametrize(
    ("traceparent", "first", "age", "linked"),
    [
        (PARENT, True, 0.0, False),
        (PARENT, True, SOON + 1, True),
        (PARENT, False, 0.0, True),
        (NOT_SAMPLED, False, 0.0, False),
        ("", False, 0.0, False),
        ("00-0-0-00", True, 0.0, False),
    ],
)
def test_which_attempts_are_a_part_of_the_trace(
    traceparent: str, first: bool, age: float, linked: bool
) -> None:
    origin = carried({"traceparent": traceparent} if traceparent else {})
    parent, links = parent_and_links(origin, first=first, age=age)
    assert parent == Context() if linked else parent is origin
    assert [format_trace_id(each.context.trace_id) for each in links] == [TRACE] * linked
