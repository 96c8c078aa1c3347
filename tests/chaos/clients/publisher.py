"""A counting publisher: posts notificaties at a rate, over kept connections, and records every answer.

It behaves as a source: after a 503, a time-out or a lost connection it tries the same notificatie again,
until that is accepted or it is told to stop. Of several gateways it uses the next one for each POST, and
leaves one that gave no answer out for some seconds, as a load balancer does. Speaks HTTP by itself, so that
it sees every reset.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from tests.chaos.accounting.account import Accepted
from tests.chaos.clients import load

CONNECTIONS = 32
"""And so the most POSTs at once."""
TIMEOUT = 10.0  # seconds for an answer; a gateway promises one within 5
LONGEST_RETRY_AFTER = 2.0  # seconds
AFTER_ERROR = 0.25  # seconds
CONNECT_TIMEOUT = 2.0  # seconds to connect to a gateway where there are others
ACCEPTED = (201, 200)
"""The latter of a CloudEvent that was accepted before: a POST that got no answer had got through."""
LEFT_OUT = 5.0  # seconds for which a gateway is left out that gave no answer


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A POST to the gateway on a host, from `posted` until `given_up`, that got no answer."""

    what: str
    host: str
    posted: float
    given_up: float


class NoAnswer(Exception):
    """The connection was refused or lost before a whole answer was read."""


class Connection:
    """One kept connection to the gateways; opened again whenever it was closed."""

    def __init__(self, host: str, port: int, *, authorization: str) -> None:
        self._at = (host, port)
        self._head = f" HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: {authorization}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.connect_timeout = TIMEOUT

    async def post(self, posting: load.Posting) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer. Raises NoAnswer."""
        fields = {**posting.headers, "Content-Length": len(posting.body)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        try:
            reader, writer = await self._open()
            writer.write(f"POST {posting.path}{self._head}{lines}\r\n".encode() + posting.body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
            }
            await reader.readexactly(int(headers.get("content-length", "0")))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise NoAnswer(f"{type(error).__name__}: {error}") from None
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(head[0].split(" ")[1]), headers

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # As any client does: a connection that the other side closed while it was idle is not used again.
        if self._streams is not None and (self._streams[0].at_eof() or self._streams[1].is_closing()):
            self.close()
        if self._streams is None:
            async with asyncio.timeout(self.connect_timeout):
                self._streams = await asyncio.open_connection(*self._at)
        return self._streams

    def close(self) -> None:
        """Drop it."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class Publisher:
    """Publishes between `start` and `stop`. accepted: every 201; outcomes: how many POSTs ended how.

    gateways: host and port of each. traffic: what it publishes.
    errors: (when, what) of every POST that was not answered with 201, but for those that were given up at
    `stop`. unanswered: those that got no answer, with the host of the gateway.
    """

    def __init__(
        self,
        gateways: Sequence[tuple[str, int]],
        *,
        authorization: str,
        rate: float,
        connections: int = CONNECTIONS,
        numbers: Iterator[int] | None = None,
        traffic: load.Traffic = load.USUAL,
    ) -> None:
        self._traffic = traffic
        self._gateways = gateways
        self._left_out: dict[str, float] = {}
        self._turns = count()
        self._authorization = authorization
        self.rate = rate
        self._connections = connections
        self._numbers = numbers or count(1)
        self._next_turn = 0.0
        self._stopping = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self.accepted: list[Accepted] = []
        self.outcomes: Counter[str] = Counter()
        self.errors: list[tuple[float, str]] = []
        self.unanswered: list[Unanswered] = []
        self.unexpected: Counter[str] = Counter()

    def start(self) -> None:
        """Publish from now on."""
        self._workers = [
            asyncio.create_task(self._work(), name=f"publisher {number}")
            for number in range(self._connections)
        ]

    async def stop(self) -> None:
        """Publish no more; answers that are awaited still count."""
        self._stopping.set()
        await asyncio.gather(*self._workers)

    async def more(self, notificaties: int, *, within: float = 60.0) -> bool:
        """Return once so many more were accepted (True), or after `within` seconds (False)."""
        wanted = len(self.accepted) + notificaties
        until = time.monotonic() + within
        while len(self.accepted) < wanted and time.monotonic() < until:
            for worker in self._workers:
                if worker.done():
                    worker.result()
            await asyncio.sleep(0.05)
        return len(self.accepted) >= wanted

    async def _work(self) -> None:
        connections = {at: Connection(*at, authorization=self._authorization) for at in self._gateways}
        if len(connections) > 1:
            for connection in connections.values():
                connection.connect_timeout = CONNECT_TIMEOUT
        try:
            while await self._turn():
                number = next(self._numbers)
                posting = self._traffic.posting(number)
                while True:
                    at = self._next_gateway()
                    pause = await self._post(connections[at], number, posting, at=at)
                    if not pause or await self._stops(pause):
                        break
        finally:
            for connection in connections.values():
                connection.close()

    def _next_gateway(self) -> tuple[str, int]:
        """In turn, without those that gave no answer lately, unless all did."""
        now = time.monotonic()
        usable = [at for at in self._gateways if self._left_out.get(at[0], 0.0) < now] or self._gateways
        return usable[next(self._turns) % len(usable)]

    async def _turn(self) -> bool:
        """Wait for the next moment at this rate; False when it is time to stop."""
        now = time.monotonic()
        self._next_turn = max(self._next_turn + 1 / self.rate, now - 0.5)
        return not await self._stops(self._next_turn - now)

    async def _stops(self, seconds: float) -> bool:
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
        return self._stopping.is_set()

    async def _post(
        self, connection: Connection, number: int, posting: load.Posting, *, at: tuple[str, int]
    ) -> float:
        """One try. Seconds after which to try again; 0 when it was accepted."""
        posted = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT):
                status, headers = await connection.post(posting)
        except TimeoutError:
            connection.close()
            return self._no_answer("no answer in time", at[0], posted)
        except NoAnswer as error:
            return self._no_answer(str(error), at[0], posted)
        if status in ACCEPTED:
            self.outcomes[str(status)] += 1
            self.accepted.append(Accepted(number, headers["nrc-notificatie-id"], posted, time.monotonic()))
            return 0.0
        if status != 503:
            self.unexpected[str(status)] += 1
        elif "retry-after" not in headers:
            self.unexpected["503 without Retry-After"] += 1
        asked = float(headers.get("retry-after", AFTER_ERROR))
        return self._failed(str(status), min(asked, LONGEST_RETRY_AFTER))

    def _no_answer(self, what: str, host: str, posted: float) -> float:
        now = time.monotonic()
        self.unanswered.append(Unanswered(what, host, posted, now))
        self._left_out[host] = now + LEFT_OUT
        return self._failed(what, AFTER_ERROR)

    def _failed(self, what: str, pause: float) -> float:
        self.outcomes[what] += 1
        self.errors.append((time.monotonic(), what))
        return pause
