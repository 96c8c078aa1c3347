"""What a publisher sends with a notificatie to be passed on: X-Batch-Id and X-Correlation-Id.

Values that cannot be passed on (empty, over 128 characters, or not of printable ASCII) are left out: they are
for tracing, and no reason to refuse a notificatie. With a batch id it is bulk.
"""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from ledger.values import PassedOn
from router.history import BATCH, CORRELATION
from router.publishing import Outgoing
from runtime.settings import Settings

BATCH_HEADER = "X-Batch-Id"
CORRELATION_HEADER = "X-Correlation-Id"
MOST = 128  # characters


def passed_on_of(request: web.BaseRequest, settings: Settings) -> PassedOn | None:
    """What is passed on of a request; None when it has nothing, or that is off."""
    headers = request.headers
    if (BATCH_HEADER not in headers and CORRELATION_HEADER not in headers) or not settings.pass_on_ids:
        return None
    batch, correlation = sound(headers.get(BATCH_HEADER)), sound(headers.get(CORRELATION_HEADER))
    if not batch and not correlation:
        return None
    return PassedOn(batch, correlation, lane=bool(batch) and settings.bulk_lane)


def sound(text: str | None) -> str:
    """The value without white space around it; "" when it cannot be passed on."""
    text = (text or "").strip()
    return text if len(text) <= MOST and text.isascii() and text.isprintable() else ""


def with_ids(message: Outgoing, passed_on: PassedOn) -> Outgoing:
    """The message with the headers by which a deliverer passes them on."""
    ids = {BATCH: passed_on.batch, CORRELATION: passed_on.correlation}
    return replace(message, headers={**message.headers, **{name: id_ for name, id_ in ids.items() if id_}})


def facts_of(passed_on: PassedOn) -> dict[str, str]:
    """Facts for a log line."""
    ids = {"batch": passed_on.batch, "correlation": passed_on.correlation}
    return {name: id_ for name, id_ in ids.items() if id_}
