"""Application: a client of the API, its shared secret, what it may do, and the tokens that it makes."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import orjson

MAX_CLIENT_ID = 255


def is_client_id(text: str) -> bool:
    """Whether an application can have this client_id: printable characters, not blank, not too many."""
    return bool(text.strip()) and len(text) <= MAX_CLIENT_ID and text.isprintable()


class Scope(StrEnum):
    """The two rights of the standard."""

    PUBLICEREN = "notificaties.publiceren"
    CONSUMEREN = "notificaties.consumeren"


def read_scope(text: str) -> Scope | None:
    """The scope that text names, in the present form or that of 2019 (`notificaties.scopes.…`); else None."""
    try:
        return Scope(text.replace("notificaties.scopes.", "notificaties.", 1))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Application:
    """A client of the API.

    secret: shared HS256 secret; old_secret is accepted too until old_secret_until (Unix seconds).
    scopes: what it is granted. scopes_from_token: it takes its scopes from its tokens instead (the 2019 way).
    scopes_from_ac: from the Autorisaties API instead (NRC_AC_URL). At most one of the three.
    change: the registry's change number of its last change.
    """

    client_id: str
    secret: str = field(repr=False)
    label: str = ""
    scopes: frozenset[Scope] = frozenset()
    scopes_from_token: bool = False
    old_secret: str = field(default="", repr=False)
    old_secret_until: float = 0.0
    change: int = 0
    scopes_from_ac: bool = False

    def may(self, scope: Scope) -> bool:
        """Whether it may do this, or where its scopes are not known here, whether it might."""
        return scope in self.scopes or self.scopes_from_token or self.scopes_from_ac


def zgw_token(
    client_id: str, secret: str, *, now: int, user_id: str = "", user_representation: str = ""
) -> str:
    """A token of a client as the ZGW APIs have it, made at `now` (Unix seconds)."""
    claims = {"iss": client_id, "iat": now, "client_id": client_id}
    return signed({**claims, "user_id": user_id, "user_representation": user_representation}, secret)


def signed(claims: Mapping[str, object], secret: str, headers: Mapping[str, str] | None = None) -> str:
    """A JWT with these claims, signed by HS256. headers: besides `typ` and `alg`.

    Not by PyJWT, which warns at each token of a secret of less than 32 bytes. Such secrets are in use, and
    who registers one is told so once.
    """
    head = {"typ": "JWT", "alg": "HS256", **(headers or {})}
    text = b".".join(_encoded(orjson.dumps(part)) for part in (head, dict(claims)))
    return (text + b"." + _encoded(hmac.digest(secret.encode(), text, "sha256"))).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
