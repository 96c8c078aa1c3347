"""Opens the ledger and a publisher, to send deliveries again."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from nrc.cli.connecting import broker_urls

if TYPE_CHECKING:
    from ledger.ledger import Ledger
    from ledger.operating.sending import Sending
    from router.catalogue import Catalogue
    from runtime.settings import Settings


def opened_sending(
    settings: Settings, ledger: Ledger, catalogue: Catalogue
) -> AbstractAsyncContextManager[Sending]:
    """Sends deliveries of this ledger again. Raises BrokerUnavailable."""
    from operating.notificaties import redelivering
    from router.publishing import Publisher

    publisher = Publisher(broker_urls(settings), name="command", mandatory=True)
    return redelivering.opened_sending(publisher, ledger, catalogue)
