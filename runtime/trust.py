"""TLS contexts: which certificate authorities are trusted, and which client certificate is presented."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPENED = Path("/proc/self/fd")


def trusting(file: Path | None) -> ssl.SSLContext | None:
    """A context that trusts the authorities of this PEM file besides the system's.

    None for no file: then only the system's. Raises OSError (ssl.SSLError is one) for a file without any.
    """
    if file is None:
        return None
    context = ssl.create_default_context()
    context.load_verify_locations(file)
    return context


def fault_of(file: Path | None) -> str:
    """What is wrong with a file of authorities; empty when nothing is."""
    try:
        trusting(file)
    except ssl.SSLError:
        return f"{file} holds no certificates (PEM)"
    except OSError as error:
        return f"{file} cannot be read: {error.strerror or error}"
    return ""


def presenting(*, certificate: str, key: str, authorities: str, file: Path | None) -> ssl.SSLContext:
    """A context with a client certificate, or authorities, of its own. All but file: PEM texts, "" for none.

    authorities: in place of the system's and those of file. What stands there is trusted, be it a root, an
    intermediate or a server's own certificate. Takes some 20 ms. Raises OSError (ssl.SSLError is one).
    """
    if authorities:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authorities)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context = trusting(file) or ssl.create_default_context()
    if certificate:
        with _as_file(certificate + key) as path:
            context.load_cert_chain(path)
        # Some servers (Apache) ask for it after the first request, by its path.
        context.post_handshake_auth = True
    return context


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """A file with this text, since OpenSSL's certificates and keys come from files: in memory, on Linux."""
    if hasattr(os, "memfd_create") and _OPENED.exists():
        number = os.memfd_create("nrc")
        with os.fdopen(number, "w") as opened:
            opened.write(text)
            opened.flush()
            yield f"{_OPENED}/{number}"
        return
    with tempfile.NamedTemporaryFile("w") as opened:  # readable by this user only
        opened.write(text)
        opened.flush()
        yield opened.name
