"""Publishes deliveries into the queues of consumers, on a connection of its own.

RabbitMQ's confirm is what 200 is of a callback: the consumer's queue has the message. A queue that is full,
or confirms nothing, is a failure like any other: the delivery is tried again, and its abonnement held, until
it does. Each queue has a channel of its own, so that it hurts no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from deliverer.direct.message import message_of
from deliverer.http.client import Failure, FailureClass, Response
from router.publishing import CONFIRM_TIMEOUT, Publisher, Refused, Unconfirmed
from runtime.amqp.frames import HeadersTooLong
from schemas.errors import BrokerUnavailable, MessageTooLarge, Unroutable

if TYPE_CHECKING:
    from deliverer.attempting.settle import Delivery

OFF = Failure(FailureClass.INVALID_REQUEST, "NRC_AMQP_DIRECT is off in this deliverer")
CONFIRMED = Response(200)


class Direct:
    """Publishes through `publisher`, which returns what no queue takes; None where AMQP direct is off."""

    def __init__(self, publisher: Publisher | None) -> None:
        self._publisher = publisher

    async def send(
        self, delivery: Delivery, *, headers: Mapping[str, str], body: bytes
    ) -> Response | Failure:
        """RabbitMQ's answer to a body and headers that would be POSTed. Raises nothing but cancellation."""
        if self._publisher is None:
            return OFF
        message = message_of(delivery, body=body, headers=headers)
        try:
            await self._publisher.publish(message)
        except Unroutable:
            return Failure(FailureClass.QUEUE_MISSING, f"queue {message.routing_key} is missing")
        except Refused:
            return Failure(FailureClass.QUEUE_FULL, f"queue {message.routing_key} is full, or has no leader")
        except Unconfirmed:
            return Failure(
                FailureClass.QUEUE_UNAVAILABLE,
                f"queue {message.routing_key} confirmed nothing within {CONFIRM_TIMEOUT:g} s",
            )
        except MessageTooLarge as error:
            return Failure(FailureClass.INVALID_REQUEST, str(error))
        except ValueError as error:  # as of an event in binary form, with an attribute that is very long
            return Failure(
                FailureClass.INVALID_REQUEST, f"no message of RabbitMQ's can be made of it: {error}"
            )
        except BrokerUnavailable as error:  # not this consumer's fault, and no attempt
            if isinstance(error.__cause__, HeadersTooLong):
                return Failure(FailureClass.INVALID_REQUEST, str(error))
            return Failure(FailureClass.SHORTAGE, str(error))
        return CONFIRMED
