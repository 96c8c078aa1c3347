"""Whether a message is for its abonnement by the filters of now. No I/O."""

from __future__ import annotations

from deliverer.attempting.settle import Delivery
from router.matching.filters import matches
from schemas.abonnement import Abonnement
from schemas.errors import ParseError
from schemas.events.event import event_values, is_event
from schemas.fields import EVENTS
from schemas.notificatie import read_accepted, values_in


def is_wanted(delivery: Delivery, abonnement: Abonnement) -> bool:
    """Whether it is for this abonnement. A replay always is: the operator chose the abonnement."""
    return bool(delivery.key.replay) or wants(abonnement, delivery.body)


def wants(abonnement: Abonnement, body: bytes) -> bool:
    """Whether this abonnement is on this message's kanaal, and its filters let the message through.

    Bindings in RabbitMQ may let more through. A body that cannot be read was not published by a gateway, and
    is delivered rather than lost.
    """
    try:
        data = read_accepted(body)
        if "specversion" in data and is_event(data):
            return matches(abonnement, EVENTS, event_values(data))
        values = values_in(data) if abonnement.asks_attributes else data.get("kenmerken", {})
        return matches(abonnement, data["kanaal"], values)
    except (ParseError, KeyError, TypeError, AttributeError):
        return True


def drops_by_attribute(abonnement: Abonnement, body: bytes) -> bool:
    """Whether filters on attributes alone keep this message, which is not wanted, from its abonnement.

    A gateway of before these filters noted it for this abonnement all the same: that is no fault here.
    """
    if not abonnement.asks_attributes:
        return False
    try:
        data = read_accepted(body)
        return not is_event(data) and matches(abonnement, data["kanaal"], data.get("kenmerken", {}))
    except (ParseError, KeyError, TypeError, AttributeError):
        return False
