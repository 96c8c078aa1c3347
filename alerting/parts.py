"""The parts of one running process, for observers such as metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alerting.lease import Lease
from alerting.sending import Sender


@dataclass(frozen=True, slots=True)
class Parts:
    """What is observed. not_ready: why it does not work, a line each."""

    lease: Lease
    sender: Sender
    not_ready: Callable[[], Sequence[str]]
