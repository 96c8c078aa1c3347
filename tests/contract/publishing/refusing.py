"""A gateway that refuses what the ledger has nevertheless."""

from __future__ import annotations

from gateway.accepting import Accepting, Homes
from ledger.values import Entry
from router.publishing import Outgoing
from schemas.errors import BrokerUnavailable


async def refuse(self: Accepting, message: Outgoing, entry: Entry) -> Homes:
    """In place of `Accepting.accept`: no confirm came, and the ledger has it, but said so too late."""
    await self._writer.add(entry, within=5.0)
    self._take_back(entry)
    raise BrokerUnavailable("both are away")
