"""AMQP: a connection to RabbitMQ that reconnects, and publishing with confirms.

    connection.py  Link: one connection that reconnects for as long as a process runs; channels on it
    confirms.py    a channel that publishes to one exchange with publisher confirms
    pipelining.py  many methods in one write, and the answer to each
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
from runtime.amqp.pipelining import ask_all

__all__ = [
    "AMQP_ERRORS",
    "FIRST_PAUSE",
    "LONGEST_PAUSE",
    "STEADY",
    "Link",
    "acknowledge",
    "ask_all",
    "close_reason",
    "connect",
    "connect_to_first",
    "describe",
    "open_channel",
    "size_limit",
]
