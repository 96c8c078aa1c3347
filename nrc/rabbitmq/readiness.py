"""Whether a RabbitMQ that is being started accepts connections yet."""

from __future__ import annotations

import asyncio

from aiormq.exceptions import AuthenticationError, ProbableAuthenticationError
from yarl import URL

from runtime.amqp import connect
from schemas.errors import BrokerUnavailable


class PasswordRefused(BrokerUnavailable):
    """A broker answers and has another password: it is not the one of this state folder."""


async def takes_connections(url: str) -> bool:
    """Whether the broker can be used now. Raises PasswordRefused."""
    address = URL(url)
    try:
        # First by TCP alone: the client library logs an error for every connection that is refused.
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.close()
        connection = await connect(url, name="nrc up")
    except OSError:
        return False
    except BrokerUnavailable as error:
        if isinstance(error.__cause__, AuthenticationError | ProbableAuthenticationError):
            raise PasswordRefused("RabbitMQ refuses the password that we kept for it") from None
        return False
    await connection.close()
    return True
