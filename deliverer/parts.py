"""The parts of one running deliverer, for observers such as metrics, and what its health tells of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deliverer.attempting.concurrency import Slots
from deliverer.attempting.deliver import Deliverer
from deliverer.attempting.faults import Faults
from deliverer.consuming.consumers import Consumers
from deliverer.consuming.prefetch import Budget
from deliverer.outcomes.account import Account
from deliverer.outcomes.acknowledging import Acknowledging
from deliverer.outcomes.last_failures import LastFailures
from ledger.writer import Writer
from router.catalogue import Catalogue
from router.publishing import Publisher
from runtime.amqp import Link


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one deliverer process. not_ready, warnings: lines, as of its health.

    into_queues: publishes into queues of consumers; None where NRC_AMQP_DIRECT is false.
    """

    catalogue: Catalogue
    counts: Counter[str]
    slots: Slots
    budget: Budget
    deliverer: Deliverer
    consumers: Consumers
    account: Account
    acknowledging: Acknowledging
    last_failures: LastFailures
    writer: Writer
    link: Link
    publisher: Publisher
    into_queues: Publisher | None
    not_ready: Callable[[], Sequence[str]]
    warnings: Callable[[], Sequence[str]]


def warnings_of(writer: Writer, into_queues: Publisher | None, faults: Faults) -> list[str]:
    """What it misses while it delivers: the ledger, what AMQP direct alone needs; and faults of its own."""
    told = [f"ledger: {writer.why_not}"] if writer.why_not else []
    if into_queues is not None and into_queues.why_not:
        told.append(f"queues of consumers: {into_queues.why_not}")
    if faults.why_not:
        told.append(f"delivering: {faults.why_not}")
    return told
