"""What every HTTP answer of ours carries, whichever process gives it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

SAFE: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    # By itself the library tells its own version and Python's.
    "Server": "nrc",
}
"""Where an answer has such a header already, it stays: pages may be kept, and load scripts of ours."""

HSTS = "Strict-Transport-Security"
HSTS_YEAR = "max-age=31536000"
"""For this host only: of others on the same domain we know nothing."""


def make_safe(headers: MutableMapping[str, str], *, https: bool) -> None:
    """Add what is not there. https: whether the client used it, as the root of our URLs has it."""
    for name, value in SAFE.items():
        headers.setdefault(name, value)
    if https:
        headers[HSTS] = HSTS_YEAR
