"""Authentication: the client and its scopes, by the JWT of `Authorization: Bearer …`.

`verify` is pure; `Tokens` caches its result. Every failure is a PermissionDenied with the standard's code:
403, never 401, and never a 500, whatever a token holds.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm

from runtime.memory.bounded import Bounded
from runtime.settings import Settings
from schemas.application import Application, Scope, read_scope
from schemas.errors import PermissionDenied

MAX_REMEMBERED = 4096  # tokens; valid ones only, so that others cannot fill the cache
LONGEST_REMEMBERED = 4096  # characters; a longer one is verified at each request

ALL = frozenset(Scope)

_HS256 = HMACAlgorithm(HMACAlgorithm.SHA256)
_NOBODYS = secrets.token_bytes(32)
"""The secret against which the signature of an unknown client is checked."""

UNKNOWN_CLIENT = "invalid-client-identifier"
BAD_SIGNATURE = "invalid-jwt-signature"
DEPENDS_ON_REGISTRY = frozenset({UNKNOWN_CLIENT, BAD_SIGNATURE})
"""Refusals that may be wrong while the copy of the registry is out of date."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a valid token gives, until `valid_until` (Unix seconds) or a change of its application.

    secret: the one of the application that signed it. scopes: without those of the Autorisaties API, which
    are not known here. limit: the scopes to which the token limits it.
    """

    application: Application
    scopes: frozenset[Scope]
    valid_until: float
    secret: str = field(repr=False)
    limit: frozenset[Scope] = ALL

    @property
    def client_id(self) -> str:
        """The client_id of the caller."""
        return self.application.client_id


class Tokens:
    """A cache of verified tokens, by the Authorization header as sent. Refusals are not cached."""

    def __init__(self, applications: Mapping[str, Application], settings: Settings) -> None:
        self._applications = applications
        self._settings = settings
        self._remembered: Bounded[str, Credentials] = Bounded(MAX_REMEMBERED)

    def credentials(self, header: str | None, *, now: float) -> Credentials:
        """The credentials of this Authorization header. Raises PermissionDenied."""
        if header is None:
            raise PermissionDenied("Er is geen token meegestuurd (Authorization: Bearer <JWT>).")
        known = self._remembered.get(header)
        if (
            known is not None
            and now < known.valid_until
            and self._applications.get(known.client_id) is known.application
        ):
            return known
        self._remembered.pop(header, None)
        found = verify(bearer(header), self._applications, now=now, settings=self._settings)
        if len(header) <= LONGEST_REMEMBERED:
            self._remembered[header] = found
        return found


def bearer(header: str) -> str:
    """The token of an Authorization header. Raises PermissionDenied for another scheme."""
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise PermissionDenied("De Authorization-header moet de vorm 'Bearer <JWT>' hebben.")
    return token.strip()


def claimed_client(header: str | None) -> str:
    """The client that an Authorization header names, unverified; "" when it names none."""
    try:
        decoded = _decode(bearer(header or ""))
        return _client_id(decoded[0], decoded[1], legacy=True)
    except PermissionDenied:
        return ""


def verify(
    token: str, applications: Mapping[str, Application], *, now: float, settings: Settings
) -> Credentials:
    """The credentials that a JWT gives at `now` (Unix seconds). Raises PermissionDenied (STANDARD: Tokens).

    Checks first that it can be read, then the client, the signature, and the claims. It takes the same time
    for a known and an unknown client.
    """
    header, claims, signature = _decode(token)
    application = applications.get(_client_id(header, claims, legacy=settings.legacy_tokens))
    vouched = _vouched(application, token.rpartition(".")[0].encode(), signature, now=now)
    if application is None:
        raise _refusal(UNKNOWN_CLIENT, "De client_id van het token is hier niet bekend.")
    if header.get("alg") != "HS256":
        raise _refusal("jwt-invalidalgorithmerror", "Het token moet met HS256 ondertekend zijn.")
    if vouched is None:
        raise _refusal(BAD_SIGNATURE, "De handtekening van het token klopt niet.")
    secret, secret_until = vouched
    scopes, limit = _scopes(application, claims, legacy=settings.legacy_tokens)
    return Credentials(
        application=application,
        scopes=scopes,
        valid_until=min(secret_until, _valid_until(claims, now=now, settings=settings)),
        secret=secret,
        limit=limit,
    )


def _refusal(code: str, detail: str) -> PermissionDenied:
    return PermissionDenied(detail, code=code)


def _decode(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    try:
        decoded = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise _refusal(
            "jwt-decode-error", "Het token kan niet gelezen worden; is het volledig overgenomen?"
        ) from None
    return decoded["header"], decoded["payload"], decoded["signature"]


def _client_id(header: Mapping[str, Any], claims: Mapping[str, Any], *, legacy: bool) -> str:
    """The client_id in a token; "" when it is not a text, which no application has."""
    if "client_id" in claims:
        client_id = claims["client_id"]
    elif legacy and "client_identifier" in header:
        client_id = header["client_identifier"]
    else:
        raise _refusal("missing-client-identifier", "Het token noemt geen client_id.")
    return client_id if isinstance(client_id, str) else ""


def _vouched(
    application: Application | None, signed: bytes, signature: bytes, *, now: float
) -> tuple[str, float] | None:
    """The secret that made the signature, and until when it is valid; None when none of the application did.

    Takes the same time for a wrong signature, a missing secret and an unknown client.
    """
    secret = application.secret.encode() if application else b""
    old = application.old_secret.encode() if application and now < application.old_secret_until else b""
    if _HS256.verify(signed, secret or _NOBODYS, signature) and secret and application:
        return application.secret, math.inf
    if _HS256.verify(signed, old or _NOBODYS, signature) and old and application:
        return application.old_secret, application.old_secret_until
    return None


def _valid_until(claims: Mapping[str, Any], *, now: float, settings: Settings) -> float:
    """The moment from which a token with these claims is not valid any more. Raises PermissionDenied."""
    if "iat" in claims and not _is_moment(claims["iat"]):
        raise _refusal("jwt-invalidissuedaterror", "iat van het token moet een getal zijn.")
    for name in ("nbf", "exp"):
        if name in claims and not _is_moment(claims[name]):
            raise _refusal("jwt-decode-error", f"{name} van het token moet een getal zijn.")
    if "nbf" in claims and claims["nbf"] > now + settings.time_leeway:
        raise _refusal("jwt-immaturesignatureerror", "Het token is nog niet geldig (nbf).")
    if "exp" in claims and claims["exp"] <= now:
        raise _refusal("jwt-expiredsignatureerror", "Het token is verlopen (exp).")
    if claims.get("aud"):
        raise _refusal("jwt-invalidaudienceerror", "Het token is voor een ander publiek bedoeld (aud).")
    for name, code in (("sub", "jwt-invalidsubjecterror"), ("jti", "jwt-invalidjtierror")):
        if name in claims and not isinstance(claims[name], str):
            raise _refusal(code, f"{name} van het token moet een tekst zijn.")
    if "iat" not in claims:
        raise _refusal("jwt-missing-iat-claim", "Het token mist de claim iat.")
    oldest: float = claims["iat"] + settings.jwt_expiry
    if now > oldest:
        raise _refusal(
            "jwt-expired", f"Het token is meer dan {settings.jwt_expiry} seconden geleden gemaakt."
        )
    expires: float = claims.get("exp", math.inf)
    return min(oldest, expires)


def _is_moment(value: Any) -> bool:
    """Whether a claim is a number of seconds; true (JSON) and NaN (Python) are not."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _scopes(
    application: Application, claims: Mapping[str, Any], *, legacy: bool
) -> tuple[frozenset[Scope], frozenset[Scope]]:
    """(the scopes of the application that the token leaves it, those to which the token limits it)."""
    zds = claims.get("zds")
    listed = zds.get("scopes") if isinstance(zds, dict) else None
    texts = [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
    named = frozenset(scope for scope in map(read_scope, texts) if scope is not None)
    if application.scopes_from_token:
        return (named if legacy else frozenset()), named
    # In the form of 2019 a token names scopes; it is limited to these if one of them is ours.
    limit = named if any(text.startswith("notificaties.") for text in texts) else ALL
    return application.scopes & limit, limit
