"""Metrics of the callback inbox: its addresses, and what came in."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import Metric

from inbox.state import INBOXES
from telemetry.metrics.common import of_process
from telemetry.metrics.families import counter, gauge


async def metrics_of(app: web.Application) -> list[Metric]:
    """Of this process, which has everything in memory."""
    inboxes = app[INBOXES]
    return [
        *of_process("inbox", not_ready=(), warnings=()),
        gauge("nrc_inbox_addresses", "Addresses that take requests.", inboxes.count),
        gauge("nrc_inbox_held_bytes", "Bytes of the requests that are kept.", inboxes.held),
        counter(
            "nrc_inbox_requests",
            "Requests that came in at an address, by the status that it answered; `reset` where it cut off.",
            {(status,): count for status, count in sorted(inboxes.answered.items())},
            ["status"],
        ),
    ]


async def detail_of(_: web.Application) -> Callable[[], list[Metric]]:
    """Nothing: the inbox knows no abonnementen."""
    return list
