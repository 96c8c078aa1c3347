"""Opens the ledger, and RabbitMQ to send with, for a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from nrc.cli.connecting import broker_urls

if TYPE_CHECKING:
    from ledger.ledger import Ledger
    from ledger.operating.sending import Sending
    from router.catalogue import Catalogue
    from router.publishing import Publisher
    from runtime.settings import Settings

READY_TIMEOUT = 5.0  # seconds


@asynccontextmanager
async def opened_publisher(settings: Settings) -> AsyncIterator[Publisher]:
    """A publisher that is ready. Raises BrokerUnavailable."""
    from router.publishing import Publisher
    from runtime.lifecycle import Tasks

    publisher = Publisher(broker_urls(settings), name="command", mandatory=True)
    async with Tasks() as tasks:
        tasks.start("publishing", publisher.run())
        await publisher.wait_ready(READY_TIMEOUT)
        yield publisher


@asynccontextmanager
async def opened_sending(settings: Settings, ledger: Ledger, catalogue: Catalogue) -> AsyncIterator[Sending]:
    """Sends deliveries of this ledger again. Raises BrokerUnavailable."""
    from ledger.operating.sending import Sending

    async with opened_publisher(settings) as publisher:
        yield Sending(ledger, publisher, kanalen=catalogue.kanalen, pulled=catalogue.pulled)
