"""What became of each delivery that an operator acted on: for the logboek, and told on the next page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from console.page import Answer, Redirect, Refused, Visit
from ledger.ledger import Ledger
from ledger.operating.sending import Sending, Sent
from ledger.values import Delivery, Notificatie
from operating.notificaties import redelivering
from router.publishing import Publisher
from runtime.log import logger
from schemas.errors import BrokerUnavailable
from store.registry import Act

log = logger(__name__)


class Noting:
    """What became of each, noted for the logboek."""

    def __init__(self, visit: Visit, act: str, why: str) -> None:
        self._visit = visit
        self._act = act
        self._why = why
        self._acts: list[Act] = []
        self.count = 0
        self.later = 0
        self.failed = 0

    def sent(self, sent: Sent) -> None:
        """One was sent, or not."""
        if sent.problem and not sent.later:
            self.failed += 1
            log.warning(
                "not sent again",
                notificatie=str(sent.delivery.key.notificatie),
                abonnement=str(sent.delivery.key.abonnement),
                reason=sent.problem,
            )
            return
        self.later += sent.later
        self.done(sent.delivery, self._act)

    def done(self, row: Delivery, act: str) -> None:
        """It was done to this one."""
        self.count += 1
        self._acts.append(redelivering.note(self._visit.log, act, row, why=self._why))

    async def keep(self) -> None:
        """Put what was noted into the registry too; to be called whatever happened."""
        await self._visit.log.keep(self._acts)

    def answer(self, notificatie: Notificatie, text: str) -> Answer:
        """The page of the notificatie, with what was done. Raises Refused when nothing was."""
        if not self.count:
            raise Refused(
                "Er is niets gedaan: er is geen wachtrij (meer) voor, of er is intussen iets anders mee "
                "gebeurd. Kijk op de pagina van de notificatie hoe het nu is."
            )
        if self.later:
            text = "RabbitMQ bevestigde nog niet; het gaat vanzelf alsnog, zodra dat kan."
        if self.failed:
            text += f" Bij {self.failed} ging dat niet meer."
        return Redirect(f"notificaties/{notificatie.id}/", said=text)


@asynccontextmanager
async def noted_sending(visit: Visit, ledger: Ledger, noting: Noting) -> AsyncIterator[Sending]:
    """Sends deliveries again while it is open, and keeps at its end what `noting` has.

    Raises Refused when RabbitMQ cannot be reached.
    """
    publisher = Publisher(visit.console.settings.amqp_url, name="console", mandatory=True)
    try:
        async with redelivering.opened_sending(publisher, ledger, visit.console.catalogue) as sending:
            yield sending
    except BrokerUnavailable:
        raise Refused(
            "RabbitMQ is nu niet te bereiken, dus er is niets verzonden. Probeer het zo opnieuw; "
            "`nrc health` zegt wat er is."
        ) from None
    finally:
        await noting.keep()
