"""Listening sockets, made in one way, so that an address means the same in every process.

`nrc up` holds the one of its gateways, so that no connection is refused while a gateway restarts.
"""

from __future__ import annotations

import socket

from yarl import URL

from runtime.settings import Listen
from schemas.errors import UsageError

BACKLOG = 1024


def bind(at: Listen, *, name: str) -> socket.socket:
    """A socket bound to host and port, not listening yet. Raises UsageError when the address is in use.

    `::` accepts IPv4 too, whatever the system's default. name: the setting, for the error.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            *at, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            # Not refused because of connections that were closed a moment ago (TIME_WAIT).
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
    """Accept connections from now on. Raises UsageError when another process listens there already."""
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        raise _refusal(sock.getsockname()[:2], error, name=name) from None


def start_listening(at: Listen, *, name: str) -> socket.socket:
    """A socket that accepts connections, for one process alone. Raises UsageError like `bind`."""
    sock = bind(at, name=name)
    try:
        listen(sock, name=name)
    except UsageError:
        sock.close()
        raise
    return sock


def reached_at(at: Listen) -> URL:
    """Where a process that listens there is reached from this machine, over HTTP."""
    host, port = at
    return URL.build(scheme="http", host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port=port)  # noqa: S104


def _refusal(at: Listen, error: OSError, *, name: str) -> UsageError:
    return UsageError(f"{name}: {at[0]}:{at[1]}: {error.strerror or error}")
