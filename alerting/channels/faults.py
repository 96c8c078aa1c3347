"""Why a message did not arrive, as `<class>: <detail>`: as the deliverer has it of callbacks."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from deliverer.http.client import MAX_DETAIL, FailureClass
from deliverer.http.guard import AddressRefused
from schemas.errors import NrcError


class NotSent(NrcError):
    """A message did not arrive. retry_after: seconds that were asked for.

    stop: the receiver wants no messages any more (410).
    """

    def __init__(self, why: str, *, retry_after: float | None = None, stop: bool = False) -> None:
        super().__init__(" ".join(why.split())[:MAX_DETAIL])
        self.retry_after = retry_after
        self.stop = stop


def connecting_failed(error: OSError) -> str:
    """Why no connection could be made, with its class."""
    match error:
        case AddressRefused():
            kind, detail = FailureClass.ADDRESS_REFUSED, str(error)
        case TimeoutError():
            kind, detail = FailureClass.TIMEOUT, "no connection in time"
        case socket.gaierror():
            kind, detail = FailureClass.DNS_ERROR, error.strerror or "no address"
        case ssl.SSLError():
            kind, detail = FailureClass.TLS_ERROR, tls_fault(error)
        case OSError(errno=errno.ECONNREFUSED):
            kind, detail = FailureClass.CONNECTION_REFUSED, os.strerror(errno.ECONNREFUSED)
        case _:
            kind, detail = FailureClass.CONNECTION_ERROR, error.strerror or type(error).__name__
    return f"{kind}: {detail}"


def tls_fault(error: ssl.SSLError) -> str:
    """Such as `certificate has expired`."""
    message = getattr(error, "verify_message", "")
    return str(message or error.reason or type(error).__name__)
