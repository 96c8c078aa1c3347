"""Metrics of a keeper: of itself, and of the system as a whole, which registry and ledger tell.

Every keeper has the latter, whether it works or waits: several give the same numbers, not to be added up.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from uuid import UUID

from prometheus_client import Metric

from ledger.keeper.parts import Parts
from ledger.values import Backlog, Cause
from operating.status.certificates import client_certificate
from schemas.abonnement import Abonnement, State
from schemas.errors import LedgerError
from telemetry.metrics.common import of_connections, of_process
from telemetry.metrics.families import counter, gauge

REMOVED = "removed"
"""In the place of a state, of what is open of an abonnement that is there no more."""
STATES = (*(state.value for state in State), REMOVED)


async def metrics_of(parts: Parts) -> list[Metric]:
    """Of this keeper, and of the whole. While the ledger cannot be read, without what that tells."""
    given = parts.giving.counts
    found = [
        *of_process("ledger", not_ready=parts.not_ready(), warnings=parts.warnings()),
        of_connections({"ledger publishing": parts.publisher.ready}),
        gauge("nrc_keeper_works", "Whether this keeper is the one that works.", parts.lease.held),
        counter(
            "nrc_given_back",
            "Deliveries that were put into their queue again out of the ledger, by cause.",
            {(cause,): given[cause] for cause in (*map(str, Cause), "again")},
            ["cause"],
        ),
        counter("nrc_give_back_refused", "Give-backs that RabbitMQ did not take.", given["refused"]),
        counter("nrc_dead_letters", "Messages taken out of nrc.undeliverable.", parts.dead_letters.count),
        *_of_abonnementen(parts.catalogue.everyone),
        *_of_certificates(parts.catalogue.everyone.values()),
        *_of_disk(parts),
    ]
    try:
        return found + await _of_ledger(parts) + [_readable(True)]
    except LedgerError:
        return [*found, _readable(False)]


async def detail_of(parts: Parts) -> Callable[[], list[Metric]]:
    """Of each abonnement what waits, since when, and its state."""
    known = dict(parts.catalogue.everyone)
    backlogs: Mapping[UUID, Backlog] = {}
    with suppress(LedgerError):
        backlogs = await parts.ledger.ledger.backlogs()
    return partial(_of_each, known, backlogs, time.time())


def _of_each(known: Mapping[UUID, Abonnement], backlogs: Mapping[UUID, Backlog], now: float) -> list[Metric]:
    of = {(str(uuid),): backlogs.get(uuid, Backlog()) for uuid in known}
    label = ["abonnement"]
    return [
        gauge(
            "nrc_abonnement_info",
            "1; its state and the application that it is of.",
            {(str(uuid), each.client_id, each.state.value): 1 for uuid, each in known.items()},
            ["abonnement", "client", "state"],
        ),
        gauge(
            "nrc_abonnement_waiting",
            "Deliveries in its queue, on their way there or in hand.",
            {labels: each.in_queue for labels, each in of.items()},
            label,
        ),
        gauge(
            "nrc_abonnement_retrying",
            "Deliveries of it between two attempts.",
            {labels: each.retrying for labels, each in of.items()},
            label,
        ),
        gauge(
            "nrc_abonnement_open_bytes",
            "Bytes of the bodies of all that is open of it.",
            {labels: each.size for labels, each in of.items()},
            label,
        ),
        gauge(
            "nrc_abonnement_oldest_seconds",
            "Age of the oldest notificatie that is open of it; 0 when none is.",
            {labels: _age(each, now) for labels, each in of.items()},
            label,
        ),
    ]


def _readable(readable: bool) -> Metric:
    return gauge("nrc_ledger_readable", "Whether the ledger could be read for this.", readable)


def _of_abonnementen(abonnementen: Mapping[UUID, Abonnement]) -> list[Metric]:
    states = Counter(each.state for each in abonnementen.values())
    held = [each.hold.since for each in abonnementen.values() if each.hold is not None]
    return [
        gauge(
            "nrc_abonnementen",
            "Abonnementen by state.",
            {(state.value,): states[state] for state in State},
            ["state"],
        ),
        gauge(
            "nrc_longest_held_seconds",
            "For how long the abonnement has been held that is held for longest; 0 when none is.",
            max((time.time() - since for since in held), default=0.0),
        ),
    ]


def _of_certificates(abonnementen: Iterable[Abonnement]) -> list[Metric]:
    """Until when client certificates count; nothing where there are none."""
    found = {facts for each in abonnementen if (facts := client_certificate(each)) is not None}
    if not found:
        return []
    return [
        gauge(
            "nrc_client_certificate_ends_timestamp_seconds",
            "When a client certificate ends that goes to callbacks, in Unix seconds, by its fingerprint.",
            {(each.name, each.fingerprint): each.ends for each in found},
            ["name", "fingerprint"],
        )
    ]


def _of_disk(parts: Parts) -> list[Metric]:
    if parts.settings.on_postgresql:
        return []  # it is the database server's
    with suppress(OSError):
        disk = shutil.disk_usage(parts.settings.registry_file.absolute().parent)
        return [
            gauge("nrc_disk_bytes", "Size of the disk that registry and ledger are on.", disk.total),
            gauge("nrc_disk_free_bytes", "What is free of it.", disk.free),
        ]
    return []


async def _of_ledger(parts: Parts) -> list[Metric]:
    ledger = parts.ledger.ledger
    facts = await ledger.keeping.facts()
    backlogs = await ledger.backlogs()
    gaps = await ledger.keeping.gaps(done=False)
    undeliverable = await ledger.undeliverable_count()
    states = {uuid: each.state.value for uuid, each in parts.catalogue.everyone.items()}
    waiting, retrying, oldest = (dict.fromkeys(STATES, 0.0) for _ in range(3))
    now = time.time()
    for uuid, backlog in backlogs.items():
        state = states.get(uuid, REMOVED)
        waiting[state] += backlog.in_queue
        retrying[state] += backlog.retrying
        oldest[state] = max(oldest[state], _age(backlog, now))
    by_state = "state of its abonnement"
    return [
        gauge(
            "nrc_waiting",
            f"Deliveries in a queue, on their way there or in hand, by {by_state}.",
            _labelled(waiting),
            ["state"],
        ),
        gauge(
            "nrc_retrying", f"Deliveries between two attempts, by {by_state}.", _labelled(retrying), ["state"]
        ),
        gauge(
            "nrc_oldest_waiting_seconds",
            f"Age of the oldest notificatie that is still to be delivered, by {by_state}; 0 when none is.",
            _labelled(oldest),
            ["state"],
        ),
        gauge("nrc_open_bytes", "Bytes of the bodies of all that is still to be delivered.", facts.open[1]),
        gauge("nrc_undeliverable", "Deliveries that are undeliverable now.", undeliverable),
        gauge("nrc_stuck", "Deliveries that were lost three times: look at them.", facts.stuck),
        gauge("nrc_unsure", "Deliveries to decide on with `nrc ledger audit`.", facts.unsure),
        gauge(
            "nrc_returning",
            "Deliveries that are being given back, or wait for an earlier one.",
            facts.returning,
        ),
        gauge("nrc_unrouted", "Notificaties that RabbitMQ does not have yet.", facts.unrouted),
        gauge("nrc_lane", "Notificaties that wait in the lane for bulk.", facts.lane),
        gauge("nrc_gaps", "Gaps of which not all was given back yet.", len(gaps)),
        gauge("nrc_ledger_bytes", "Bytes that the ledger has in use.", facts.size),
        gauge(
            "nrc_ledger_budget_bytes",
            "What it may have in use (NRC_LEDGER_BUDGET).",
            parts.settings.ledger_budget,
        ),
        gauge("nrc_deliverers", "Deliverers that were heard of a moment ago.", len(facts.living)),
    ]


def _labelled(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(label,): value for label, value in values.items()}


def _age(backlog: Backlog, now: float) -> float:
    return 0.0 if backlog.oldest is None else max(0.0, now - backlog.oldest / 1000)
