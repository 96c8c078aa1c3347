"""Sockets to listen on, made in one way, so that an address means the same to every process.

`nrc up` holds that of its gateways, so that a gateway's restart refuses nobody.
"""

from __future__ import annotations

import socket

from runtime.settings import Listen
from schemas.errors import UsageError

BACKLOG = 1024


def bind(at: Listen, *, name: str) -> socket.socket:
    """A socket bound to host and port, not listening yet. Raises UsageError when somebody has the address.

    `::` takes IPv4 too, whatever the system's default. name: the setting, for the error.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            *at, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            # A connection that was closed a moment ago keeps no address.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(address)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise _refusal(at, error, name=name) from None
    return sock


def listen(sock: socket.socket, *, name: str) -> None:
    """Take connections from now on. Raises UsageError when somebody else came first."""
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        raise _refusal(sock.getsockname()[:2], error, name=name) from None


def start_listening(at: Listen, *, name: str) -> socket.socket:
    """A socket that takes connections, for a process of its own. Raises UsageError like `bind`."""
    sock = bind(at, name=name)
    try:
        listen(sock, name=name)
    except UsageError:
        sock.close()
        raise
    return sock


def _refusal(at: Listen, error: OSError, *, name: str) -> UsageError:
    return UsageError(f"{name}: {at[0]}:{at[1]}: {error.strerror or error}")
