"""The parts of one running deliverer, for observers such as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deliverer.attempting.concurrency import Slots
from deliverer.attempting.deliver import Deliverer
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
    """The parts of one deliverer process. not_ready, warnings: lines, as of its health."""

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
    not_ready: Callable[[], Sequence[str]]
    warnings: Callable[[], Sequence[str]]
