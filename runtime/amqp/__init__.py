"""AMQP: a connection to RabbitMQ that is made again, and publishing with confirms.

    connection.py  Link: one connection, made again for as long as a process runs; channels on it
    confirms.py    a channel that publishes to one exchange and hears of each message whether RabbitMQ has it
    frames.py      the bytes of publishes, of the answers to them and of acknowledgements; no I/O

Declares nothing, and knows no exchange or queue of ours.
"""

from __future__ import annotations

from runtime.amqp.connection import (
    AMQP_ERRORS,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    STEADY,
    Link,
    acknowledge,
    close_reason,
    connect,
    connect_to_first,
    describe,
    open_channel,
    size_limit,
)

__all__ = [
    "AMQP_ERRORS",
    "FIRST_PAUSE",
    "LONGEST_PAUSE",
    "STEADY",
    "Link",
    "acknowledge",
    "close_reason",
    "connect",
    "connect_to_first",
    "describe",
    "open_channel",
    "size_limit",
]
