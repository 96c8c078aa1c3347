"""Metrics that every process has: whether it is ready, its connections, and the ledger that it writes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from prometheus_client import Metric

from ledger.values import Entry, Outcome
from ledger.writer import Writer
from telemetry.metrics.families import counter, gauge


def of_process(process: str, *, not_ready: Sequence[str], warnings: Sequence[str]) -> list[Metric]:
    """Which process it is, and its health, as /health/ready has it."""
    return [
        gauge(
            "nrc_process_info",
            "1; which process this is, and its version.",
            {(process, version("nrc")): 1},
            ["process", "version"],
        ),
        gauge(
            "nrc_ready",
            "Whether the process can do its work (/health/ready).",
            {(process,): not not_ready},
            ["process"],
        ),
        gauge(
            "nrc_warnings",
            "Warnings of /health/ready: what must not stay so.",
            {(process,): len(warnings)},
            ["process"],
        ),
    ]


def of_connections(connected: Mapping[str, bool]) -> Metric:
    """Its connections to RabbitMQ, by their purpose."""
    return gauge(
        "nrc_rabbitmq_connected",
        "Whether this connection to RabbitMQ is there and RabbitMQ takes what is sent on it.",
        {(name,): there for name, there in connected.items()},
        ["connection"],
    )


def of_writer(writer: Writer) -> list[Metric]:
    """How far the ledger is behind this process."""
    since = writer.behind_since
    lost: dict[tuple[str, ...], float] = {(kind.__name__,): 0 for kind in (Entry, Outcome)}
    lost |= {(kind,): count for kind, count in writer.lost.items()}
    return [
        gauge("nrc_ledger_writable", "Whether the last commit to the ledger succeeded.", not writer.why_not),
        gauge("nrc_ledger_unwritten", "Events for the ledger that are not written yet.", writer.waiting),
        gauge(
            "nrc_ledger_lag_seconds",
            "Age of the oldest notificatie or outcome that is not written to the ledger yet.",
            0 if since is None else max(0.0, time.time() - since / 1000),
        ),
        counter(
            "nrc_ledger_lost_events",
            "Events that the ledger will not get.",
            lost,
            ["event"],
        ),
    ]
