"""Looks at the certificates of callbacks, each server once a day, to warn before one ends.

Beside deliveries, which tell nothing of a certificate that is still valid: a TLS handshake without a request,
as the deliverer would make it. Bounded: so many at once, for so long, and so many in a pass.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC

from cryptography import x509

from alerting.channels.faults import connecting_failed, tls_fault
from alerting.channels.sockets import connected_socket
from deliverer.http.guard import Policy
from deliverer.http.own_tls import context_of
from operating.status.certificates import tls_server
from runtime.settings import Settings
from runtime.trust import trusting
from schemas.abonnement import Abonnement
from schemas.callback_auth import CallbackAuth
from store.alerts import Certificate

EVERY = 24 * 3600.0  # seconds between two looks at one
AGAIN = 3600.0  # seconds after a look that showed none
AT_ONCE = 10
AT_A_PASS = 500
TIMEOUT = 10.0  # seconds for each connection

Server = tuple[str, int]


def servers_of(abonnementen: Iterable[Abonnement]) -> frozenset[Server]:
    """The servers whose certificates matter."""
    return frozenset(server for each in abonnementen if (server := tls_server(each)) is not None)


def own_of(abonnementen: Iterable[Abonnement]) -> Mapping[Server, CallbackAuth]:
    """By server, with what connections are made there, where an abonnement has certificates of its own."""
    return {
        server: each.callback_auth
        for each in abonnementen
        if each.callback_auth is not None
        and each.callback_auth.has_own_tls
        and (server := tls_server(each)) is not None
    }


def due(servers: frozenset[Server], known: Iterable[Certificate], *, now: float) -> list[Server]:
    """Which of these are looked at now, those never seen first. Pure. now: Unix seconds."""
    looked = {
        (each.host, each.port): each.looked + (EVERY if each.ends is not None else AGAIN) for each in known
    }
    found = sorted((looked.get(server, 0.0), server) for server in servers)
    return [server for at, server in found if at <= now][:AT_A_PASS]


class Looking:
    """Looks with the addresses and authorities that the deliverer's settings allow."""

    def __init__(self, settings: Settings) -> None:
        self._policy = Policy.of(settings)
        self._ca_file = settings.callback_ca_file
        self._trusted = trusting(settings.callback_ca_file) or ssl.create_default_context()
        self._any = _trusting_any(ssl.create_default_context())
        self._places = asyncio.Semaphore(AT_ONCE)

    async def look(
        self, servers: Iterable[Server], *, now: float, own: Mapping[Server, CallbackAuth]
    ) -> list[Certificate]:
        """The certificates of these now, or why there is none. own: as of `own_of`."""
        looks = (self._one(host, port, now, own.get((host, port))) for host, port in servers)
        return [*await asyncio.gather(*looks)]

    async def _one(self, host: str, port: int, now: float, own: CallbackAuth | None) -> Certificate:
        async with self._places:
            fault = ""
            try:
                trusted = self._trusted
                if own is not None:
                    trusted = await asyncio.to_thread(context_of, own, self._ca_file)
                try:
                    ends = await self._end(host, port, trusted)
                except ssl.SSLCertVerificationError as error:
                    # Not trusted, or ended: only a connection without that check tells until when.
                    fault = tls_fault(error)
                    ends = await self._end(host, port, self._any if own is None else _trusting_any(trusted))
            except OSError as error:
                return Certificate(host, port, now, None, fault or connecting_failed(error))
            except ValueError:
                return Certificate(host, port, now, None, "tls_error: the certificate cannot be read")
            return Certificate(host, port, now, ends, f"tls_error: {fault}" if fault else "")

    async def _end(self, host: str, port: int, context: ssl.SSLContext) -> float:
        """Until when the server's certificate is valid. Raises OSError (ssl.SSLError is one), ValueError."""
        async with asyncio.timeout(TIMEOUT):
            sock = await connected_socket(host, port, policy=self._policy)
            with sock:
                return await _end_of(sock, host, context)


def _trusting_any(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same, which takes any certificate from now on: nothing is sent by it."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _end_of(sock: socket.socket, host: str, context: ssl.SSLContext) -> float:
    _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host)
    try:
        der: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).not_valid_after_utc.astimezone(UTC).timestamp()
    finally:
        writer.transport.abort()
