"""Starts and kills a consumer that reads RabbitMQ, and reads what it got and acknowledged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from tests.chaos.accounting.account import Arrival, Repeats
from tests.chaos.clients.fetcher_process import Killed, Record
from tests.chaos.clients.reader import FIRST, PREFETCH, URL

KILLED = "a consumer that reads RabbitMQ was killed"
CUT = "a consumer that reads RabbitMQ lost its connection"


class Read(Record):
    """What came to one abonnement whose consumer reads RabbitMQ.

    What comes again from where it was in a stream is the same: its consumer asked for that. since: from when
    to go on reading a stream, as an argument of the consumer.
    """

    def __init__(self, abonnement: str) -> None:
        super().__init__(abonnement)
        self._seen: set[str] = set()
        self._places: set[tuple[str, int]] = set()
        self._connected = False
        self.since = FIRST

    def heard(self, line: bytes) -> None:
        """A line of the consumer."""
        told = orjson.loads(line)
        if "unexpected" in told:
            self.problems.append(f"who reads RabbitMQ got a message with {told['unexpected']}")
        elif "connected" in told:
            if self._connected:
                self.repeats.append(Repeats(CUT, PREFETCH))
            self._connected = True
        else:
            self._got(told["id"], told)

    def _got(self, id_: str, told: Mapping[str, object]) -> None:
        number, at, offset = told["number"], told["at"], told["offset"]
        assert isinstance(number, int)
        assert isinstance(at, float)
        if isinstance(offset, int):
            # From before the last one, so that it also fits a stream that was made again.
            self.since = str(told["accepted"])
            if (id_, offset) in self._places:
                return
            self._places.add((id_, offset))
        if id_ in self._seen and told["redelivered"]:
            self.again.add((id_, self._abonnement))
        self._seen.add(id_)
        self.arrivals.append(Arrival(number, id_, self._abonnement, at, answered=True))

    def ended(self) -> None:
        """What it had and RabbitMQ knows of no acknowledgement may come again."""
        if self._connected:
            self.repeats.append(Repeats(KILLED, PREFETCH))
        self._connected = False


class Reader(Killed):
    """A consumer that reads the queue, or the stream, of one abonnement. url: with its user and password."""

    def __init__(self, abonnement: str, *, queue: str, url: str, stream: bool) -> None:
        self.record = Read(abonnement)
        super().__init__(
            self.record, module="tests.chaos.clients.reader", what="who reads RabbitMQ", seed=queue
        )
        self._queue = queue
        self._url = url
        self._stream = stream

    def words(self) -> Sequence[str]:
        """Its queue, and from when it reads."""
        return (self._queue, self.record.since) if self._stream else (self._queue,)

    def environment(self) -> Mapping[str, str]:
        """Where it connects."""
        return {URL: self._url}
