"""Signatures of Standard Webhooks (https://www.standardwebhooks.com), version v1. Pure.

HMAC-SHA256 over `webhook-id.webhook-timestamp.body`, in base64. The header may have several, one for each
secret that counts.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable


def sign(key: bytes, *, message: str, timestamp: str, body: bytes) -> str:
    """One signature, `v1,…`. message, timestamp: those of the headers."""
    signed = f"{message}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def headers_of(keys: Iterable[bytes], *, message: str, now: int, body: bytes) -> dict[str, str]:
    """The headers that sign a request. message: its webhook-id; now: Unix seconds of this try."""
    timestamp = str(now)
    signatures = (sign(key, message=message, timestamp=timestamp, body=body) for key in keys)
    return {
        "webhook-id": message,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }
