"""The connections to callbacks: to which addresses, how many are kept open idle, how much header is read.

What aiohttp has no setting for. The client above it owns requests and answers.
"""

from __future__ import annotations

import functools
import socket
from ipaddress import ip_address
from typing import Any, cast

from aiohttp import AddrInfoType, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage

from deliverer.guard import AddressRefused, Policy, refusal
from deliverer.resolving import Resolver

MAX_HEAD = 256 * 1024  # bytes of an answer's status and headers together, interim answers included
MAX_IDLE = 256  # connections kept open without a request
DNS_CACHE = 10  # seconds
# Shorter than the idle timeout of the servers in use (gunicorn 2 s; uvicorn, Node and Apache 5 s): a
# request on a connection that the server is just closing fails, and may not be sent again unasked.
KEEP_ALIVE = 1.5  # seconds


class Connector(TCPConnector):
    """Connects to what the policy lets through. How many requests run at once is the caller's to bound."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        super().__init__(
            resolver=Resolver(policy),
            # The last step before connecting, past the resolver, which literal addresses do not meet.
            socket_factory=functools.partial(_socket, policy),
            ttl_dns_cache=DNS_CACHE,
            keepalive_timeout=KEEP_ALIVE,
            limit=0,
            **options,
        )
        self._factory = cast(Any, functools.partial(_Answer, loop=self._loop))

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        """Keep a connection for the next request, unless enough are kept: there may be thousands of hosts."""
        full = sum(map(len, self._conns.values())) >= MAX_IDLE
        super()._release(key, protocol, should_close=should_close or full)


class _Answer(ResponseHandler):
    """The library bounds a line of a header and the number of lines; here all of it together is bounded."""

    _head = 0
    _has_status = False

    def set_response_params(self, **options: Any) -> None:
        self._head, self._has_status = 0, False
        super().set_response_params(**options)

    def feed_data(self, data: Any, size: int = 0) -> None:
        self._has_status = self._has_status or data[0].code >= 200
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head += len(data)
        if self._has_status or self._head <= MAX_HEAD or self._exception is not None:
            return
        if self.transport is not None:
            self.transport.close()
        self.set_exception(BadHttpMessage("the header is too large"))


def _socket(policy: Policy, info: AddrInfoType) -> socket.socket:
    """A socket for one connection to this address. Raises AddressRefused."""
    family, kind, protocol, _, address = info
    if found := refusal(ip_address(address[0]), policy):
        raise AddressRefused(found)
    return socket.socket(family=family, type=kind, proto=protocol)
