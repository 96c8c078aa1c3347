"""Whether an id_token is one for this login: OpenID Connect Core 1.0, section 3.1.3.7. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    ExpiredTokenError,
    InvalidClaimError,
    InvalidKeyIdError,
    JoseError,
    MissingKeyError,
)
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from console.login.oidc.faults import CLOCK, WRONG, LoginFailed

ALGORITHMS = ("RS256", "PS256", "ES256")
LEEWAY = 60
"""Seconds by which the provider's clock and this one may differ."""
_OF_TIME = ("exp", "iat", "nbf")


class OtherKey(Exception):
    """It is signed with a key that is not among these, or that is another by now."""


def check_id_token(
    token: str, keys: KeySet, *, issuer: str, client_id: str, nonce: str, access_token: str, now: float
) -> Mapping[str, Any]:
    """The claims of an id_token for this login. now: Unix seconds.

    Raises OtherKey when none of the keys made its signature, else LoginFailed for what is wrong with it.
    """
    registry = JWSRegistry(algorithms=[*ALGORITHMS], strict_check_header=False)
    registry.max_header_length = 16 * 1024  # some send a certificate chain
    try:
        decoded = jwt.decode(token, keys, registry=registry)
    except (BadSignatureError, InvalidKeyIdError, MissingKeyError) as error:
        raise OtherKey(str(error)) from None
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise LoginFailed(WRONG, f"the id_token cannot be read: {error}") from None
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        {
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
        },
        {"client_id": client_id, "nonce": nonce, "access_token": access_token},
    )
    try:
        claims.validate(now=int(now), leeway=LEEWAY)
    except JoseError as error:
        of_time = isinstance(error, ExpiredTokenError | InvalidClaimError) and error.claim in _OF_TIME
        raise LoginFailed(CLOCK if of_time else WRONG, f"the id_token is refused: {error}") from None
    except (TypeError, ValueError) as error:  # of a claim of another type than the library expects
        raise LoginFailed(WRONG, f"the id_token is refused: {error}") from None
    return decoded.claims
