"""Metrics of a gateway."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Metric

from gateway.accepting import Homes
from gateway.autorisaties.asking import Outcome
from gateway.autorisaties.rights import Rights
from gateway.http.problems import refused
from gateway.state import Gateway
from schemas.errors import (
    APIException,
    PermissionDenied,
    ServiceUnavailable,
    Throttled,
    ValidationError,
)
from telemetry.metrics.common import of_connections, of_process, of_writer
from telemetry.metrics.families import counter, gauge, histogram

NONE_YET = {
    (True, kind.status, kind.code): 0
    for kind in (ValidationError, PermissionDenied, Throttled, APIException, ServiceUnavailable)
}
"""Refusals that are told from the start: Prometheus sees no rise to the first value of a series."""


async def metrics_of(gateway: Gateway) -> list[Metric]:
    """What a gateway accepted and refused, and what it has under way."""
    not_ready, warnings = gateway.accepting.away()
    if gateway.stopping:
        not_ready = ["gateway: stopping", *not_ready]
    under_way = gateway.publishes.under_way
    return [
        *of_process("gateway", not_ready=not_ready, warnings=warnings),
        of_connections(
            {
                "gateway": gateway.router.link.connection is not None,
                "gateway publishing": gateway.publisher.ready,
            }
        ),
        *of_writer(gateway.writer),
        counter(
            "nrc_accepted",
            "Notificaties that were answered with 201, by what had them then.",
            {(homes.name.lower(),): gateway.accepting.homes[homes] for homes in Homes},
            ["homes"],
        ),
        counter(
            "nrc_refused",
            "Requests that were answered with a problem, by status and code of it.",
            {
                ("notificaties" if notificatie else "other", str(status), code): count
                for (notificatie, status, code), count in sorted({**NONE_YET, **refused}.items())
            },
            ["request", "status", "code"],
        ),
        histogram(
            "nrc_confirm_seconds",
            "From publishing a notificatie to its confirm by RabbitMQ, where the answer waited for that.",
            gateway.accepting.confirms,
        ),
        *(_of_ac(gateway.rights) if gateway.rights is not None else ()),
        gauge("nrc_gateway_under_way", "Notificaties under way.", under_way["requests"]),
        gauge("nrc_gateway_under_way_bytes", "Bytes of their bodies.", under_way["bytes"]),
        gauge("nrc_gateway_connections", "Open connections of clients.", len(gateway.connections.open)),
    ]


def _of_ac(rights: Rights) -> list[Metric]:
    """How the Autorisaties API answers; only where there is one."""
    return [
        counter(
            "nrc_ac_questions",
            "Questions to the Autorisaties API about a client, by what came of them.",
            {(outcome.value,): rights.outcomes[outcome] for outcome in Outcome},
            ["outcome"],
        ),
        histogram("nrc_ac_question_seconds", "How long these took.", rights.seconds),
        counter(
            "nrc_ac_stale",
            "Requests that were judged by what the Autorisaties API said before it failed.",
            rights.stale,
        ),
        gauge("nrc_ac_failing", "1 while the Autorisaties API tells nothing.", float(bool(rights.why_not))),
    ]


async def detail_of(_: Gateway) -> Callable[[], list[Metric]]:
    """Nothing: a gateway counts nothing of a single abonnement."""
    return list
