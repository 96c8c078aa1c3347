"""DeliveryOptions: how an abonnement wants to be delivered to. Nothing in it is secret.

A new option is a field here, with a rule of its own; registry, API, command and setup file take it from here.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from schemas.delivery_options.numbers import number, whole_number
from schemas.delivery_options.order import Order
from schemas.delivery_options.part import Part
from schemas.events.options import CloudEvents

_RATE_RULE, _RATE_SCHEMA = number(least=0.01, most=10_000, what="verzoeken per seconde")
_CONCURRENCY_RULE, _CONCURRENCY_SCHEMA = whole_number(least=1, most=1000, what="verzoeken tegelijk")
_CONSOLIDATE_RULE, _CONSOLIDATE_SCHEMA = whole_number(least=1, most=86_400, what="seconden")

Rate = Annotated[int | float, _RATE_RULE, _RATE_SCHEMA]
Concurrency = Annotated[int, _CONCURRENCY_RULE, _CONCURRENCY_SCHEMA]
Consolidate = Annotated[int, _CONSOLIDATE_RULE, _CONSOLIDATE_SCHEMA]


class DeliveryOptions(Part):
    """How one abonnement wants to be delivered to. Without anything in it: as ever."""

    rate: Rate | None = Field(None, description="At most so many requests a second.")
    concurrency: Concurrency | None = Field(None, description="At most so many requests at once.")
    consolidate: Consolidate | None = Field(
        None,
        description="At least so many seconds between two about one resource; of what waits, the newest.",
    )
    order: Order | None = Field(
        None, description="In order per hoofdObject: a later one waits until an earlier one has ended."
    )
    cloudevents: CloudEvents | None = Field(
        None, description="Send CloudEvents in place of notificaties, in this form. {} for the usual form."
    )

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.names)

    @property
    def most_a_second(self) -> float | None:
        """Requests a second at most: the lower of `rate` and of what its callback allows (allowedRate)."""
        allowed = self.cloudevents.allowed_rate if self.cloudevents is not None else None
        if allowed is None:
            return self.rate
        return allowed / 60 if self.rate is None else min(self.rate, allowed / 60)

    @property
    def names(self) -> tuple[str, ...]:
        """The options that are set, by the names of the API."""
        return tuple(self.as_given())


OPTIONS = tuple(field.alias or name for name, field in DeliveryOptions.model_fields.items())
"""Every option there is, by the names of the API."""


def given_of(options: DeliveryOptions | None) -> dict[str, Any]:
    """What is set, by the names of the API; nothing of None."""
    return options.as_given() if options else {}
