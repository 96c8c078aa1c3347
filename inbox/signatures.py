"""Signatures of requests: which a request has, and whether one of Standard Webhooks is right. Pure.

A signature of Standard Webhooks is HMAC-SHA256 over `webhook-id.webhook-timestamp.body`, and the header may
hold several (https://www.standardwebhooks.com). Of others only that they are there is told.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from deliverer.http.signing import sign
from ledger.explaining.dutch import number
from schemas.callback_auth import key_of

STANDARD = "webhook-signature"
OTHERS = ("signature", "x-hub-signature-256", "x-hub-signature", "x-signature", "content-digest")
MAX_AGE = 300  # seconds between a timestamp and its arrival; those who verify refuse what is older

Verdict = Literal["valid", "invalid", "unchecked"]


@dataclass(frozen=True, slots=True)
class Signature:
    """One header with a signature. why: what is told of it, in Dutch."""

    header: str
    verdict: Verdict
    why: str


def signature_of(headers: Mapping[str, str], body: bytes, *, secret: str, at: float) -> Signature | None:
    """What a request is signed with; None when it is not. secret: `whsec_…` or ""; at: Unix seconds."""
    for name in (STANDARD, *OTHERS):
        if name in headers:
            if name == STANDARD and (key := key_of(secret)) is not None:
                return _checked(headers, body, key=key, at=at)
            why = (
                "niet gecontroleerd: er is geen geheim ingesteld"
                if name == STANDARD
                else "niet gecontroleerd"
            )
            return Signature(name, "unchecked", why)
    return None


def _checked(headers: Mapping[str, str], body: bytes, *, key: bytes, at: float) -> Signature:
    number_of, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    right = sign(key, message=number_of, timestamp=moment, body=body).encode()
    given = headers[STANDARD].encode().split()
    if not any(hmac.compare_digest(right, each) for each in given):
        return Signature(STANDARD, "invalid", "klopt niet met het ingestelde geheim")
    if not moment.isdecimal() or len(moment) > 12:
        return Signature(STANDARD, "invalid", "klopt, maar webhook-timestamp is geen aantal seconden")
    if (age := abs(at - int(moment))) > MAX_AGE:
        return Signature(STANDARD, "invalid", f"klopt, maar webhook-timestamp scheelt {number(age)} seconden")
    return Signature(STANDARD, "valid", "klopt")
