"""What every HTTP answer of ours carries, whichever process gives it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

SAFE: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Where an answer has such a header already, it stays: pages may be kept, and load scripts of ours."""

HSTS = "Strict-Transport-Security"
HSTS_YEAR = "max-age=31536000"
"""For this host only: of others on the same domain we know nothing."""


def make_safe(headers: MutableMapping[str, str], *, https: bool) -> None:
    """Add what is not there, and name no versions. https: whether the root of our URLs has it."""
    for name, value in SAFE.items():
        headers.setdefault(name, value)
    # By itself the library tells its own version and Python's, in some answers before this is called.
    headers["Server"] = "nrc"
    if https:
        headers[HSTS] = HSTS_YEAR
