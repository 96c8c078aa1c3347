"""RabbitMQ: an exchange, a queue for each abonnement, wait queues, dead letters, and their faults.

Nothing here knows the ledger. A queue is FIFO; what was taken and not acknowledged goes back to its head.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from tests.model.rules import LATE

Key = tuple[int, str]
"""A delivery: the notificatie's id and the abonnement."""


@dataclass(frozen=True, slots=True)
class Message:
    """One copy of a notificatie. `ab` is empty until it stands in the queue of an abonnement."""

    id: int
    colour: str
    since: int
    ab: str = ""
    round: int = 0
    attempts: int = 0
    verdict: bool = False
    redelivered: bool = False

    @property
    def key(self) -> Key:
        return self.id, self.ab


@dataclass(frozen=True)
class Entry:
    """An accepted notificatie. `catalogue`: the registry's change number that it was matched with.

    `of_message`: the keeper made it of a message, for the one abonnement of that.
    """

    id: int
    colour: str
    received: int
    catalogue: int
    matched: frozenset[str]
    unrouted_at: int | None = None
    of_message: bool = False


@dataclass
class Queue:
    """The queue of one abonnement, with the colours that its bindings ask for."""

    wants: frozenset[str]
    bound: bool = True
    leader: bool = True
    ready: deque[Message] = field(default_factory=deque)
    taken: list[tuple[str, Message]] = field(default_factory=list)


@dataclass
class Broker:
    """A node. `limbo`: on their way to a queue, (at the latest, late publish?, message), seen by no look."""

    now: int = 0
    up: bool = True
    exchange: bool = True
    queues: dict[str, Queue] = field(default_factory=dict)
    waiting: list[tuple[int, Message]] = field(default_factory=list)
    limbo: list[tuple[int, bool, Message]] = field(default_factory=list)
    undeliverable: deque[Message] = field(default_factory=deque)
    """Dead letters, and copies of what is fetched."""
    entries: list[Entry] = field(default_factory=list)
    """Only without the rule `entry_not_through_rabbitmq`."""

    # Publishing

    def publish(self, message: Message, *, late: bool = False) -> bool:
        """Through the kanaal's exchange, to every queue bound for the colour. True is RabbitMQ's confirm.

        One queue without a leader withholds the confirm, and takes its copy if it has one within 10 s.
        """
        if not (self.up and self.exchange):
            return False
        confirmed = not late
        for ab, queue in self.queues.items():
            if not queue.bound or message.colour not in queue.wants:
                continue
            copy = replace(message, ab=ab)
            if late or not queue.leader:
                self.limbo.append((self.now + LATE, True, copy))
                confirmed = False
            else:
                queue.ready.append(copy)
        return confirmed

    def put(self, message: Message) -> bool:
        """Through `nrc.return`, to the one queue of `message.ab`. True is RabbitMQ's confirm."""
        if not self.up:
            return False
        queue = self.queues.get(message.ab)
        if queue is None or not queue.bound:
            self.undeliverable.append(message)  # the alternate exchange of nrc.return; confirmed
            return True
        if not queue.leader:
            return False
        queue.ready.append(message)
        return True

    def wait(self, message: Message, until: int) -> bool:
        """Into a wait queue, which dead-letters it to `nrc.return` at `until`. True is RabbitMQ's confirm."""
        if self.up:
            self.waiting.append((until, message))
        return self.up

    def refuse(self, message: Message) -> bool:
        """Into `nrc.undeliverable`. True is RabbitMQ's confirm."""
        if self.up:
            self.undeliverable.append(message)
        return self.up

    def tick(self, now: int) -> None:
        """Time passes: waits end, via limbo, in a queue; late publishes arrive or are dropped."""
        self.now = now
        if not self.up:
            self.limbo = [item for item in self.limbo if not item[1]]
            return
        self.limbo += [(now + 1, False, message) for until, message in self.waiting if until <= now]
        self.waiting = [pair for pair in self.waiting if pair[0] > now]
        for item in list(self.limbo):
            until, publish, message = item
            queue = self.queues.get(message.ab)
            if publish and queue is not None and queue.leader:
                queue.ready.append(message)
            elif publish and until > now:
                continue
            elif not publish and (until > now or not self.put(message)):
                continue  # at-least-once: kept until a queue confirms it
            self.limbo.remove(item)

    # Consuming

    def take(self, consumer: str, ab: str) -> Message | None:
        """The head of a queue, not acknowledged yet."""
        queue = self.queues.get(ab)
        if not self.up or queue is None or not queue.leader or not queue.ready:
            return None
        message = queue.ready.popleft()
        queue.taken.append((consumer, message))
        return message

    def ack(self, consumer: str, message: Message) -> None:
        """Forgets one taken message. Nothing happens when its queue is gone."""
        queue = self.queues.get(message.ab)
        if self.up and queue is not None and (consumer, message) in queue.taken:
            queue.taken.remove((consumer, message))

    def requeue(self, consumer: str | None = None) -> None:
        """What `consumer` (None: anybody) had taken goes back to the head, in its order."""
        for queue in self.queues.values():
            back = [message for who, message in queue.taken if consumer in (None, who)]
            queue.taken = [pair for pair in queue.taken if consumer not in (None, pair[0])]
            queue.ready.extendleft(replace(message, redelivered=True) for message in reversed(back))

    def look(self, ab: str) -> int | None:
        """How many are ready, as a passive declare says; None for no queue. Without a leader: 0."""
        queue = self.queues.get(ab)
        if queue is None:
            return None
        return len(queue.ready) if queue.leader else 0

    # Faults

    def wipe(self) -> None:
        """All is gone: queues, exchange, and every message."""
        for pile in (self.queues, self.waiting, self.limbo, self.undeliverable, self.entries):
            pile.clear()
        self.exchange = False

    def delete_exchange(self) -> None:
        """The exchange goes, and with it all its bindings."""
        self.exchange = False
        for queue in self.queues.values():
            queue.bound = False

    # For the checks only

    def copies(self) -> Iterator[Message]:
        """Every message that may still reach its abonnement; not what is in `nrc.undeliverable`."""
        for queue in self.queues.values():
            yield from queue.ready
            yield from (message for _, message in queue.taken)
        yield from (message for _, message in self.waiting)
        yield from (message for _, _, message in self.limbo)

    def has(self, key: Key) -> bool:
        return any(message.key == key for message in self.copies())


def keys(messages: Iterable[Message]) -> set[Key]:
    return {message.key for message in messages}
