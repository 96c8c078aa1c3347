"""What makes the spans of one process and sends them on, by OTLP over HTTP.

Where to, how much of it and with which headers is said by the library's own variables: OTEL_EXPORTER_OTLP_…,
OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME, OTEL_BSP_….
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

SCOPE = "nrc"


def provider_of(process: str) -> TracerProvider:
    """The provider of a process: spans go out in batches, by a thread of its own."""
    attributes = {"service.version": version("nrc")}
    if "OTEL_SERVICE_NAME" not in os.environ:
        attributes["service.name"] = f"nrc-{process}"
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def tracer_of(provider: TracerProvider) -> Tracer:
    """What our spans are made by."""
    return provider.get_tracer(SCOPE, version("nrc"))


@asynccontextmanager
async def sent_at_the_end(provider: TracerProvider, *, within: float) -> AsyncIterator[None]:
    """Send what is left when the context ends, and go on after so many seconds whatever becomes of it."""
    try:
        yield
    finally:
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            provider.shutdown()
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        # Not one of the loop's threads, whose end the process would wait for: a collector may be away.
        threading.Thread(target=send, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await sent.wait()
