"""The headers by which a trace goes on (W3C Trace Context), and whether a delivery still belongs to it.

The first attempt, made soon, is a part of the publisher's trace. A later one is a trace of its own that links
to it: nobody reads a trace that goes on for a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Link, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SOON = 60.0  # seconds after acceptance in which a first attempt is a part of the trace

_PROPAGATOR = TraceContextTextMapPropagator()


def carried(headers: Mapping[str, str]) -> Context:
    """The context that came with these headers; an empty one when none did, or it is malformed."""
    return _PROPAGATOR.extract(headers, context=Context())


def carry(headers: dict[str, str]) -> dict[str, str]:
    """These headers and those of the span that is current."""
    _PROPAGATOR.inject(headers)
    return headers


def parent_and_links(origin: Context, *, first: bool, age: float) -> tuple[Context, Sequence[Link]]:
    """The context in which the span of an attempt begins, and its links.

    origin: that of the message. first: nothing was attempted before. age: seconds since it was accepted.
    What is not sampled stays a part of its trace, so that later attempts of it are not sampled either.
    """
    span = get_current_span(origin).get_span_context()
    if not span.is_valid or not span.trace_flags.sampled or (first and age <= SOON):
        return origin, ()
    return Context(), (Link(span),)
