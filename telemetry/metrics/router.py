"""Metrics of a router process."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Metric

from router.declaring.service import Router
from telemetry.metrics.common import of_connections, of_process


async def metrics_of(router: Router) -> list[Metric]:
    """Whether it is ready, and connected."""
    return [
        *of_process("router", not_ready=router.not_ready(), warnings=router.warnings()),
        of_connections({"router": router.link.connection is not None}),
    ]


async def detail_of(_: Router) -> Callable[[], list[Metric]]:
    """Nothing: a router counts nothing of a single abonnement."""
    return list
