"""The headers of every HTTP answer, whichever process gives it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

SAFE: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""An answer that has such a header already keeps its own: pages may be cached, and load our scripts."""

HSTS = "Strict-Transport-Security"
HSTS_YEAR = "max-age=31536000"
"""For this host only, not for others on the same domain."""


def make_safe(headers: MutableMapping[str, str], *, https: bool) -> None:
    """Add missing headers, and hide versions. https: whether the root of our URLs is https."""
    for name, value in SAFE.items():
        headers.setdefault(name, value)
    # The library names its own version and Python's, in some answers before this is called.
    headers["Server"] = "nrc"
    if https:
        headers[HSTS] = HSTS_YEAR
