"""A notificatie about an applicatie of the Autorisaties API: what it changes counts in every gateway at once.

It reached one gateway, as any notificatie or by POST /callbacks. That one takes it, and tells the others by
the fanout `nrc.changes`. A gateway that is not connected to it then asks again for everything afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from uuid import uuid4

import orjson
from aio_pika import Message
from aio_pika.abc import AbstractConnection

from gateway.autorisaties.answers import name_of
from gateway.autorisaties.rights import Rights
from router import names
from runtime.amqp import AMQP_ERRORS, Link, describe
from runtime.log import Occasional, logger
from schemas.errors import BrokerUnavailable

KANAAL = "autorisaties"
GONE = "destroy"
SEND_WITHIN = 5.0  # seconds
SEND_AGAIN = 1.0  # seconds after one that failed
MOST = 1000  # applicaties that are told of together; of more: that all changed
REPORT_INTERVAL = 10.0  # seconds between two lines that say the same
_NAME = 100  # characters

log = logger(__name__)


class Notices:
    """`take` is for what reached this gateway, `heard` for what another told; `run` tells the others."""

    def __init__(self, rights: Rights, link: Link) -> None:
        self._rights = rights
        self._link = link
        self._id = uuid4().hex
        self._untold: dict[str, bool] = {}
        self._more = False  # came than are kept
        self._any = asyncio.Event()
        self._failures = Occasional(every=REPORT_INTERVAL)

    def take(self, hoofd_object: str, actie: str) -> None:
        """A notificatie on kanaal autorisaties came here."""
        name, gone = name_of(hoofd_object)[:_NAME], actie == GONE
        self._rights.changed(name, gone=gone)
        self._to_tell({name: gone})

    def _to_tell(self, notices: Mapping[str, bool]) -> None:
        for name, gone in notices.items():
            if len(self._untold) < MOST or name in self._untold:
                self._untold[name] = gone
            else:
                self._more = True
        self._any.set()

    def heard(self, body: bytes) -> None:
        """What came on nrc.changes. Anything else than a notice is ignored."""
        try:
            told = orjson.loads(body)
            applicaties = told.get("applicaties")
        except (ValueError, AttributeError):
            return
        if not isinstance(applicaties, Mapping) or told.get("by") == self._id:
            return
        if told.get("more"):
            self._rights.missed()
        for name, gone in applicaties.items():
            self._rights.changed(name, gone=gone is True)

    def connected(self) -> None:
        """What is told on nrc.changes is heard from now on, and before this perhaps not."""
        self._rights.missed()

    async def run(self) -> None:
        """Tell other gateways what came, until cancelled."""
        while True:
            await self._any.wait()
            self._any.clear()
            untold, more, self._untold, self._more = self._untold, self._more, {}, False
            body = orjson.dumps({"applicaties": untold, "by": self._id, "more": more})
            try:
                if self._link.blocked:
                    raise BrokerUnavailable("RabbitMQ refuses publishers (memory or disk alarm)")
                async with asyncio.timeout(SEND_WITHIN):
                    await self._link.use(partial(_send, body=body))
            except (BrokerUnavailable, TimeoutError, *AMQP_ERRORS) as error:
                reason = str(error) if isinstance(error, BrokerUnavailable) else describe(error)
                if times := self._failures.due():
                    log.warning("other gateways were not told of changed scopes", reason=reason, times=times)
                later, self._untold, self._more = self._untold, untold, self._more or more
                self._to_tell(later)
                await asyncio.sleep(SEND_AGAIN)


async def _send(connection: AbstractConnection, *, body: bytes) -> None:
    channel = connection.channel(publisher_confirms=True)
    await channel.initialize()
    try:
        exchange = await channel.get_exchange(names.CHANGES, ensure=False)
        await exchange.publish(Message(body), routing_key="", mandatory=False)
    finally:
        await channel.close()
