"""The certificate authorities that are trusted: the system's, and those of a file that a setting names."""

from __future__ import annotations

import ssl
from pathlib import Path


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
