"""Which process has which metrics, and the address on which it answers with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from prometheus_client import Metric

from runtime.metrics.serving import serve_metrics
from runtime.settings import Listen

MODULES = {
    "gateway": "telemetry.metrics.gateway",
    "router": "telemetry.metrics.router",
    "deliverer": "telemetry.metrics.deliverer",
    "ledger": "telemetry.metrics.keeper",
    "console": "telemetry.metrics.console",
    "inbox": "telemetry.metrics.inbox",
    "alerts": "telemetry.metrics.alerts",
}


@asynccontextmanager
async def serve_metrics_of(process: str, listen: Listen, parts: Any) -> AsyncIterator[None]:
    """Answer with the metrics of this process, of these parts, as long as the context is open.

    Raises UsageError when it can't listen there.
    """
    module = import_module(MODULES[process])

    async def metrics() -> Callable[[], Sequence[Metric]]:
        found: Sequence[Metric] = await module.metrics_of(parts)
        return lambda: found

    async with serve_metrics(listen, metrics=metrics, detail=lambda: module.detail_of(parts)):
        yield
