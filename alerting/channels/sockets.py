"""A connection to a host, at an address that the guard of callbacks allows (deliverer/http/guard.py)."""

from __future__ import annotations

import asyncio
import socket

from deliverer.http.guard import AddressRefused, Policy, other_spelling
from deliverer.http.resolver import Resolver


async def connected_socket(host: str, port: int, *, policy: Policy) -> socket.socket:
    """A connected socket; each address is tried in turn. The caller limits how long that may take.

    Raises AddressRefused, and OSError of the last address.
    """
    if found := other_spelling(host):
        raise AddressRefused(found)
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for each in await Resolver(policy).resolve(host, port):
        sock = socket.socket(each["family"], socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, (each["host"], port))
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError(f"{host} has no address")
