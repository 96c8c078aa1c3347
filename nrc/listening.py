"""Where gateways listen: the socket, which `nrc up` holds so that a restart refuses nobody, and the URL."""

from __future__ import annotations

import socket

from yarl import URL

from runtime.settings import Listen
from schemas.errors import UsageError

BACKLOG = 1024


def gateway_root(listen: Listen) -> URL:
    """Where a gateway that listens there is reached from this machine."""
    host, port = listen
    return URL.build(scheme="http", host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port=port)  # noqa: S104


def bind(at: Listen) -> socket.socket:
    """A socket bound to host and port, not listening yet. Raises UsageError when somebody has the address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            *at, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            # A connection that was closed a moment ago keeps no address.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise _refusal(at, error) from None
    return sock


def listen(sock: socket.socket) -> None:
    """Take connections from now on. Raises UsageError when somebody else came first."""
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        raise _refusal(sock.getsockname()[:2], error) from None


def _refusal(at: Listen, error: OSError) -> UsageError:
    return UsageError(f"NRC_GATEWAY_LISTEN: {at[0]}:{at[1]}: {error.strerror or error}")
