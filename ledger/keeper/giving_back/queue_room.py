"""How many messages the queue of an abonnement may get now, by how many are ready in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from time import monotonic
from uuid import UUID

from router.publishing import Publisher
from router.queue_depth import ready_of
from schemas.errors import BrokerUnavailable

MOST_READY = 1000
"""Messages that are ready in a queue, above which nothing is given back into it."""
LOOK_AGAIN = 1.0  # seconds after which a queue is looked at again
REST = 10.0  # seconds in which a queue that did not take a message is left alone
MOST_SILENT = 3
"""Queues in a row of which RabbitMQ tells nothing, after which it tells nothing at all."""


class Room:
    """What is left of MOST_READY in each queue. A missing queue has no room until the router declares it."""

    def __init__(self, publisher: Publisher, *, most: int = MOST_READY, rest: float = REST) -> None:
        self._publisher = publisher
        self._most = most
        self._rest = rest
        self._left: dict[UUID, int] = {}
        self._until: dict[UUID, float] = {}  # monotonic
        self._doubted: set[UUID] = set()
        self._silent = 0

    async def ready(self, abonnementen: Iterable[UUID]) -> dict[UUID, int | None]:
        """How many messages are ready in each queue now; None where it is missing.

        Raises BrokerUnavailable.
        """
        if not self._publisher.ready:
            raise BrokerUnavailable(self._publisher.why_not)
        return await self._publisher.link.use(lambda connection: ready_of(connection, abonnementen))

    async def look(self, abonnementen: set[UUID]) -> None:
        """Ask RabbitMQ about those that were not asked about lately. Raises BrokerUnavailable.

        A queue of which it tells nothing, while it tells of others, has no room.
        """
        if not self._publisher.ready:
            raise BrokerUnavailable(self._publisher.why_not)
        now = monotonic()
        asked = [uuid for uuid in abonnementen if self._until.get(uuid, 0.0) <= now]
        if not asked:
            return
        for uuid, ready in (await self._told(asked)).items():
            most = 1 if uuid in self._doubted else self._most
            self._left[uuid] = 0 if ready is None else max(most - ready, 0)
            self._until[uuid] = now + LOOK_AGAIN

    async def _told(self, asked: Sequence[UUID]) -> dict[UUID, int | None]:
        """As `ready`, without those of which RabbitMQ tells nothing. Raises BrokerUnavailable."""
        try:
            told = await self.ready(asked)
        except BrokerUnavailable:
            if len(asked) > 1:
                return {uuid: ready for each in asked for uuid, ready in (await self._told([each])).items()}
            self._silent += 1
            if self._silent >= MOST_SILENT or not self._publisher.ready:
                self._silent = 0
                raise
            self.none(asked[0])
            return {}
        self._silent = 0
        return told

    def take(self, abonnement: UUID) -> bool:
        """Whether one more may be published there; if so it is counted."""
        left = self._left.get(abonnement, 0)
        self._left[abonnement] = max(left - 1, 0)
        return left > 0

    def none(self, abonnement: UUID) -> None:
        """It did not take a message: nothing is sent there for `rest` seconds, and then one to try."""
        self._doubted.add(abonnement)
        self._left[abonnement] = 0
        self._until[abonnement] = monotonic() + self._rest

    def took(self, abonnement: UUID) -> None:
        """It took a message."""
        self._doubted.discard(abonnement)

    @property
    def doubted(self) -> Set[UUID]:
        """Those that did not take the last message that they got."""
        return self._doubted

    @property
    def resting(self) -> frozenset[UUID]:
        """Those without room, by the last look at each."""
        now = monotonic()
        return frozenset(
            uuid for uuid, left in self._left.items() if not left and self._until.get(uuid, 0.0) > now
        )
