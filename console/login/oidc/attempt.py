"""One attempt to log in: its state, its nonce and its PKCE verifier. Pure.

All three are made, by HMAC, of one random secret that only a cookie of this browser has. So nothing is kept
here between the two requests, any console process can finish what another began, and no answer counts in
another browser. The cookie goes with the first answer, so an attempt counts once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field

from console.login.oidc.faults import OVER, LoginFailed

LASTS = 600  # seconds
MAX_TO = 500  # characters of the way back; a longer one leads to the overzicht


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt. to: where it leads, below /console/. nonce, verifier: 64 hexadecimal digits."""

    state: str
    to: str
    nonce: str
    verifier: str = field(repr=False)


def new_secret() -> str:
    """What the cookie of an attempt has."""
    return secrets.token_urlsafe(32)


def begin(secret: str, *, issuer: str, to: str, now: float) -> Attempt:
    """An attempt at this provider. now: Unix seconds."""
    content = json.dumps([round(now), to if len(to) <= MAX_TO else ""])
    text = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    return _attempt(secret, f"{text}.{_mac(secret, 'state', issuer, text)}", to)


def answered(secret: str, state: str, *, issuer: str, now: float) -> Attempt:
    """The attempt that this state is of. Raises LoginFailed for one of another browser, or that is over."""
    text, _, mac = state.partition(".")
    if not secret or not hmac.compare_digest(mac.encode(), _mac(secret, "state", issuer, text).encode()):
        raise LoginFailed(OVER, "the state is not of this browser, or was used before")
    began, to = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if now - began > LASTS:
        raise LoginFailed(OVER, f"the attempt began over {LASTS} s ago")
    return _attempt(secret, state, to)


def _attempt(secret: str, state: str, to: str) -> Attempt:
    return Attempt(state, to, _mac(secret, "nonce", state), _mac(secret, "verifier", state))


def _mac(secret: str, *of: str) -> str:
    return hmac.new(secret.encode(), "\n".join(of).encode(), hashlib.sha256).hexdigest()
