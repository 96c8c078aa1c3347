"""Metrics of a console: what was asked of it, logins, and who is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import Metric

from console.app import not_ready
from console.login.sessions import open_sessions
from console.state import CONSOLE, LOGINS
from console.streaming import STREAMS
from schemas.errors import RegistryError
from telemetry.metrics.common import of_connections, of_process
from telemetry.metrics.families import Values, counter, gauge


async def metrics_of(app: web.Application) -> Sequence[Metric]:
    """Of this console; how many sessions there are is left out while the registry cannot be read."""
    console = app[CONSOLE]
    counts = console.counts
    requests: Values = {
        (page, str(status)): count for (page, status), count in sorted(counts.requests.items())
    }
    found = [
        *of_process("console", not_ready=await not_ready(console), warnings=()),
        of_connections({"console": console.link.connection is not None}),
        counter(
            "nrc_console_requests",
            "Requests that were answered, by the class of the page and the status.",
            requests,
            ["page", "status"],
        ),
        counter(
            "nrc_console_logins",
            "Attempts to log in, by how they ended.",
            {(outcome,): counts.logins[outcome] for outcome in LOGINS},
            ["outcome"],
        ),
        gauge("nrc_console_streams", "Pages that are followed live (server-sent events).", app[STREAMS].open),
    ]
    try:
        sessions = await open_sessions(console)
    except RegistryError:
        return found
    return [*found, gauge("nrc_console_sessions", "Sessions that are not over, of all consoles.", sessions)]


async def detail_of(_: web.Application) -> Callable[[], list[Metric]]:
    """Nothing: a console counts nothing of a single abonnement."""
    return list
