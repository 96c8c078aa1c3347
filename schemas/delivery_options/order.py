"""Order per hoofdObject: of two notificaties about the same, the later waits until the earlier has ended."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.delivery_options.numbers import number
from schemas.delivery_options.part import Part

HOUR = 3600
_RULE, _SCHEMA = number(least=1, most=30 * 24 * HOUR, what="seconden")


class Order(Part):
    """That an abonnement wants its notificaties in order, per hoofdObject.

    set_aside_after: seconds from the first failed attempt of one; after that those behind it go on.
    """

    set_aside_after: Annotated[int | float, _RULE, _SCHEMA] = Field(
        HOUR,
        description="Seconds from the first failed attempt of a notificatie; later ones go on after that.",
    )
