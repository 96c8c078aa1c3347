"""Metrics of a deliverer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from prometheus_client import Metric

from deliverer.http.client import FailureClass
from deliverer.parts import Parts
from telemetry.metrics.common import of_connections, of_process, of_writer
from telemetry.metrics.families import Values, counter, gauge, histogram

ATTEMPTED = [kind for kind in FailureClass if kind is not FailureClass.SHORTAGE]
"""Classes of failure of an attempt; with a shortage none is made."""


def connected_of(parts: Parts) -> dict[str, bool]:
    """By the name of each of its connections that stay, whether it is there and can be used."""
    there = {"deliverer": parts.link.connection is not None, "deliverer publishing": parts.publisher.ready}
    if parts.into_queues is not None:
        there["deliverer direct publishing"] = parts.into_queues.ready
    return there


async def metrics_of(parts: Parts) -> list[Metric]:
    """What it delivered, what failed, how long it took, and what it has in hand."""
    counts = parts.counts
    failed: Values = {(kind.value,): counts[kind] for kind in ATTEMPTED}
    return [
        *of_process("deliverer", not_ready=parts.not_ready(), warnings=parts.warnings()),
        of_connections(connected_of(parts)),
        *of_writer(parts.writer),
        counter(
            "nrc_attempts",
            "Requests to callbacks, without failed probes.",
            counts["delivered"] + sum(failed.values()),
        ),
        counter("nrc_delivered", "Deliveries that a callback answered with 2xx.", counts["delivered"]),
        counter("nrc_failed_attempts", "Attempts that failed, by class.", failed, ["class"]),
        counter("nrc_failed_probes", "Probes of held abonnementen that failed.", counts["probes failed"]),
        counter(
            "nrc_put_off", "Deliveries put off, for want of files or memory.", counts[FailureClass.SHORTAGE]
        ),
        counter(
            "nrc_given_up", "Deliveries that became undeliverable by an attempt.", counts["undeliverable"]
        ),
        counter(
            "nrc_not_sent",
            "Messages acknowledged without an attempt, by why.",
            {
                ("not_wanted",): counts["not wanted"],
                ("settled_before",): counts["settled before"],
                ("consolidated",): counts["consolidated"],
            },
            ["why"],
        ),
        counter(
            "nrc_acknowledged_late",
            "Deliveries acknowledged before the ledger had their outcome.",
            parts.acknowledging.late,
        ),
        histogram(
            "nrc_delivery_seconds",
            "From accepted by a gateway to delivered, retries included, replays not.",
            parts.account.arrivals,
        ),
        histogram(
            "nrc_callback_seconds",
            "From sending to a callback to its answer or failure.",
            parts.deliverer.took,
        ),
        gauge("nrc_deliverer_under_way", "Requests to callbacks under way.", parts.slots.taken),
        gauge("nrc_deliverer_in_hand_bytes", "Bytes of bodies in hand.", parts.budget.in_hand),
        gauge("nrc_deliverer_queues", "Queues that are consumed.", parts.consumers.consumed),
    ]


async def detail_of(parts: Parts) -> Callable[[], list[Metric]]:
    """What it delivered and what failed, of each abonnement that there is."""
    known = set(parts.catalogue.abonnementen)
    delivered, failed = dict(parts.account.delivered_to), dict(parts.last_failures.counts)

    def of_each(counts: Mapping[UUID, int]) -> Values:
        return {(str(uuid),): count for uuid, count in counts.items() if uuid in known}

    return lambda: [
        counter(
            "nrc_abonnement_delivered",
            "Deliveries that its callback answered with 2xx.",
            of_each(delivered),
            ["abonnement"],
        ),
        counter(
            "nrc_abonnement_failed",
            "Attempts and probes of it that failed.",
            of_each(failed),
            ["abonnement"],
        ),
    ]
