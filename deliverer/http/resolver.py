"""Looks up the addresses of host names, so that a lookup that hangs does not delay others.

The event loop's own lookups share a few threads: some names whose servers don't answer would stop all
deliveries. Here each lookup has a thread of its own; the connector caches the result. Addresses that the
guard refuses are left out.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from deliverer.http.guard import AddressRefused, Policy, Refusal, refusal
from runtime.open_files import none_left

MAX_LOOKUPS = 100  # at once; each is a thread while it lasts

Infos = Sequence[tuple[int, int, int, str, tuple[Any, ...]]]


class Resolver(AbstractResolver):
    """Looks names up with the system's own rules (hosts file, search domains), in daemon threads."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._places = asyncio.Semaphore(MAX_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host that the policy allows, in the system's order.

        Raises AddressRefused when it allows none, OSError when there are none.
        """
        found: list[ResolveResult] = []
        refused: list[Refusal] = []
        for kind, _, protocol, _, address in await self._look_up(host, port, family):
            # A scope (fe80::1%eth0) is a part of the address, which cannot be reached without it.
            name = str(address[0])
            if len(address) == 4 and address[3] and "%" not in name:
                name = f"{name}%{address[3]}"
            if why := refusal(ip_address(name), self._policy):
                refused.append(why)
                continue
            found.append(
                ResolveResult(
                    hostname=host,
                    host=name,
                    port=port,
                    family=kind,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        if refused and not found:
            raise AddressRefused(refused[0])
        return found

    async def _look_up(self, host: str, port: int, family: int) -> Infos:
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Infos] = loop.create_future()

        def done(infos: Infos | None, error: Exception | None) -> None:
            # Only now: the caller may have gone, but the thread still ran.
            self._places.release()
            if answer.done():
                return
            if isinstance(error, MemoryError):
                answer.set_exception(OSError(errno.ENOMEM, "no memory for a lookup"))
            elif infos is None:
                answer.set_exception(error if isinstance(error, OSError) else socket.gaierror(repr(error)))
            else:
                answer.set_result(infos)

        def look() -> None:
            infos: Infos | None = None
            failure: Exception | None = None
            try:
                infos = socket.getaddrinfo(
                    host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            except Exception as error:  # in any case the place must be given back
                failure = none_left() or error
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(done, infos, failure)

        # Daemon: a lookup that hangs must not keep the process from ending.
        try:
            threading.Thread(target=look, name=f"lookup {host}", daemon=True).start()
        except (RuntimeError, MemoryError) as error:  # the system gives no more threads
            self._places.release()
            raise OSError(errno.EAGAIN, f"no thread for a lookup: {error}") from error
        return await answer

    async def close(self) -> None:
        """Nothing to close: threads end with their lookup."""
