"""What a queue may hold: when it has to be looked through for that, and what has to go. Pure.

AMQP says how many messages a queue has, not how many bytes nor how old they are: to know that, all of them
must be taken and given back (`walk`). So that is asked for seldom: once in a while for their age, and for
their bytes when these could be too many and the queue has grown since.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace

from aiormq.abc import DeliveredMessage

from router.history import in_queue_since

LONGEST_INTERVAL = 60.0  # seconds between two runs
FINENESS = 50  # a queue is looked through for its age once in a fiftieth of the retention
GROWTH = 1.1  # and for its bytes again when it has a tenth more messages
FILLED = 0.9  # of the budget, after some had to go: else some would have to go every minute
SHARE = 20  # a walk through a queue is followed by twenty times as long without
LARGEST_HEADERS = 64 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """retention: seconds; budget: bytes, 0 for none; max_body: bytes of the largest body that is accepted."""

    retention: float
    budget: int
    max_body: int

    @property
    def interval(self) -> float:
        """Seconds between two runs."""
        return max(1.0, min(LONGEST_INTERVAL, self.retention / 10))


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a queue from the last walk through it.

    messages: how many it had then, or the fewest since. average: bytes of one. at: when the walk ended
    (monotonic), and took: for how long it went; seconds.
    """

    messages: int
    average: float
    at: float
    took: float

    def seen(self, messages: int) -> Known:
        """The same, when there are so many messages now."""
        return replace(self, messages=min(self.messages, messages))


@dataclass(slots=True)
class Survey:
    """What a walk saw, first to last: each message's bytes, and since when (in s since 1970) it is held."""

    sizes: array[int] = field(default_factory=lambda: array("Q"))
    since: array[float] = field(default_factory=lambda: array("d"))

    def note(self, message: DeliveredMessage) -> None:
        """One message more."""
        self.sizes.append(size_of(message))
        self.since.append(since_when(message))

    @property
    def average(self) -> float:
        """Bytes of one message."""
        return sum(self.sizes) / len(self.sizes) if self.sizes else 0.0


def is_due(known: Known | None, messages: int, *, now: float, limits: Limits) -> bool:
    """Whether a queue that has so many messages ready is to be walked through. now: monotonic."""
    if not messages:
        return False
    if known is None:
        return True
    if now < known.at + SHARE * known.took:
        return False
    if now >= known.at + limits.retention / FINENESS:
        return True
    largest = limits.max_body + LARGEST_HEADERS
    could_be_over = 0 < limits.budget < messages * largest
    return could_be_over and (messages >= known.messages * GROWTH or messages * known.average > limits.budget)


def excess(survey: Survey, *, behind: int, limits: Limits) -> float:
    """The bytes of the oldest that have to go.

    behind: the messages that the walk did not come to; they are taken to be as large as those that it saw.
    """
    total = sum(survey.sizes) + behind * survey.average
    return total - limits.budget * FILLED if 0 < limits.budget < total else 0.0


def how_far(survey: Survey, *, before: float, over: float) -> int:
    """How many messages, from the first on, have to be taken for those that have to go; 0 when none has to.

    All, when one that stays is among them: given back, it would come behind those given back before.
    """
    last, gone = 0, 0
    for number, (size, since) in enumerate(zip(survey.sizes, survey.since, strict=True), 1):
        if since < before or over > 0:
            last, gone = number, gone + 1
            over -= size
    return last if last == gone else len(survey.sizes)


def size_of(message: DeliveredMessage) -> int:
    """Bytes of a message: its body and its headers, without those of RabbitMQ."""
    headers = message.header.properties.headers or {}
    ours = (len(name) + len(str(value)) for name, value in headers.items() if not name.startswith("x-"))
    return len(message.body) + sum(ours)


def since_when(message: DeliveredMessage) -> float:
    """Since when (in s since 1970) a message counts as held; infinity when nothing on it says so."""
    properties = message.header.properties
    since = in_queue_since(properties.headers or {}, properties.timestamp)
    return since.timestamp() if since else float("inf")
