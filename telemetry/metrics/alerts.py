"""Metrics of what sends alerts: whether this process does, and what arrived."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Metric

from alerting.parts import Parts
from telemetry.metrics.common import of_process
from telemetry.metrics.families import counter, gauge


async def metrics_of(parts: Parts) -> list[Metric]:
    """Of this process, which has everything in memory."""
    return [
        *of_process("alerts", not_ready=parts.not_ready(), warnings=()),
        gauge("nrc_alerts_working", "1 in the process that sends.", float(parts.lease.held)),
        counter(
            "nrc_alerts_messages",
            "Tries to send messages, by channel and outcome: sent or failed.",
            dict(sorted(parts.sender.counts.items())),
            ["channel", "outcome"],
        ),
    ]


async def detail_of(_: Parts) -> Callable[[], list[Metric]]:
    """Nothing: what is told of an abonnement is in the message."""
    return list
