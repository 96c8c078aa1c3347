"""What a callback asks for beyond the Authorization header `auth`: a token, a header of its own, or nothing.

An extension: the standard knows `auth` alone, and no answer of the standard has this.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hmac import compare_digest
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from schemas.fields import CallbackUrl, as_text, fault, header_value, parse_date_time

WHSEC = "whsec_"
MAX_SECRET = 1000  # characters
MAX_TEXT = 200  # characters of a client id, a name
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_TAKEN = frozenset(
    {"authorization", "host", "content-type", "content-length", "content-encoding", "user-agent", "expect"}
    | {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "accept-encoding"}
    | {"traceparent", "tracestate"}
)
_TAKEN_PREFIXES = ("proxy-", "webhook-", "nrc-")


def _text_of(*, most: int, blank: bool = False) -> BeforeValidator:
    def check(value: Any) -> str:
        text = as_text(value)
        if not blank and not text.strip():
            raise fault("blank", "Dit veld mag niet leeg zijn.")
        if len(text) > most:
            raise fault("max_length", f"Dit veld mag niet langer zijn dan {most} tekens.")
        if not text.isprintable():
            raise fault("invalid", "Stuurtekens zijn hier niet toegestaan.")
        return text

    return BeforeValidator(check)


def _header_name(value: Any) -> str:
    text = as_text(value)
    if _HEADER_NAME.fullmatch(text) is None:
        raise fault("invalid", "Dit is geen naam van een header.")
    if text.lower() == "authorization":
        raise fault("invalid", "De header Authorization is die van `auth`; geef een andere naam.")
    if text.lower() in _TAKEN or text.lower().startswith(_TAKEN_PREFIXES):
        raise fault(
            "invalid", f"De header {text} zet NRC zelf, of is van de verbinding; geef een andere naam."
        )
    return text


def _yes(value: Any) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise fault("invalid", "Dit is true of false.")


def _signing_secret(value: Any) -> str:
    text = as_text(value)
    if not 24 <= len(key_of(text) or b"") <= 64:
        raise fault("invalid", "Een geheim begint met whsec_, met daarachter 24 tot 64 bytes in base64.")
    return text


def _moment(value: Any) -> int:
    """Unix seconds of an RFC 3339 text, or of what was made of one before; 0 of none."""
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = parse_date_time(as_text(value))
    if found is None:
        raise fault("invalid", "Voer een datum en tijd in volgens RFC 3339, zoals 2026-03-27T10:59:13Z.")
    return int(found[0].timestamp())


def key_of(secret: str) -> bytes | None:
    """The key in a secret such as `whsec_MfKQ9r8G…`; None where it is none."""
    if not secret.startswith(WHSEC):
        return None
    try:
        return base64.b64decode(secret.removeprefix(WHSEC), validate=True) or None
    except ValueError:
        return None


def signing_key(secret: str) -> bytes:
    """The key in a secret that was checked before."""
    return base64.b64decode(secret.removeprefix(WHSEC))


def new_signing_secret() -> str:
    """A secret with 32 random bytes."""
    return WHSEC + base64.b64encode(secrets.token_bytes(32)).decode()


SigningSecret = Annotated[str, BeforeValidator(_signing_secret)]
Moment = Annotated[int, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Name = Annotated[str, _text_of(most=MAX_TEXT)]
Optional = Annotated[str, _text_of(most=MAX_TEXT, blank=True)]
Secret = Annotated[str, _text_of(most=MAX_SECRET)]
Yes = Annotated[bool, BeforeValidator(_yes)]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class SecretIn(StrEnum):
    """Where a token endpoint wants the client's secret."""

    HEADER = "header"
    BODY = "body"


def _secret_in(value: Any) -> SecretIn:
    try:
        return SecretIn(as_text(value))
    except ValueError:
        raise fault("invalid", "Dit is header of body.") from None


class OAuth2(_Part):
    """Where to get an access token by OAuth2 client credentials."""

    token_url: CallbackUrl = Field(description="The URL of the token endpoint.")
    client_id: Name = Field(description="The client id there.")
    secret: Secret = Field(repr=False, description="The secret of that client.")
    scope: Annotated[str, _text_of(most=MAX_SECRET, blank=True)] = Field(
        "", description="The scope to ask for, if any; several with spaces between them."
    )
    audience: Annotated[str, _text_of(most=MAX_SECRET, blank=True)] = Field(
        "", description="The audience to ask for, where the token endpoint wants one."
    )
    secret_in: Annotated[SecretIn, BeforeValidator(_secret_in)] = Field(
        SecretIn.HEADER,
        description="Where the secret goes: header (Basic, the default) or body (client_secret).",
    )


class ZgwToken(_Part):
    """A JWT as the ZGW APIs have it, made anew for each request."""

    client_id: Name = Field(description="The client id in the token: `iss` and `client_id`.")
    secret: Secret = Field(repr=False, description="The secret that signs it.")
    user_id: Optional = Field("", description="The `user_id` in the token.")
    user_representation: Optional = Field("", description="The `user_representation` in the token.")


class ApiKey(_Part):
    """A header of its own, beside Authorization."""

    name: Annotated[str, BeforeValidator(_header_name)] = Field(description="The name of the header.")
    value: Annotated[str, BeforeValidator(header_value)] = Field(repr=False, description="Its value.")


class Signature(_Part):
    """A signature of Standard Webhooks, beside Authorization.

    With `old_secret` there are two, until `old_secret_until` (Unix seconds; 0: as long as it stands here).
    """

    secret: SigningSecret = Field(repr=False, description="The secret, whsec_ and 24 to 64 bytes in base64.")
    old_secret: SigningSecret | None = Field(
        None, repr=False, description="The former secret, which signs too while the receiver changes over."
    )
    old_secret_until: Moment = Field(
        0, description="Until when it does (RFC 3339). Left out: as long as it stands here."
    )

    def keys(self, *, now: float) -> tuple[bytes, ...]:
        """The keys that sign now, the newest first."""
        old = self.old_secret
        if old is None or 0 < self.old_secret_until <= now:
            return (signing_key(self.secret),)
        return signing_key(self.secret), signing_key(old)


class CallbackAuth(_Part):
    """What goes with every request to one callback. Without anything in it, `auth` alone does.

    With `oauth2`, `zgw` or `no_auth`, `auth` is not sent.
    """

    oauth2: OAuth2 | None = Field(None, description="Send an OAuth2 access token in place of auth.")
    zgw: ZgwToken | None = Field(None, description="Send a ZGW token in place of auth.")
    header: ApiKey | None = Field(None, description="Send an API key in a header of this name too.")
    signature: Signature | None = Field(None, description="Sign each request by Standard Webhooks too.")
    no_auth: Yes = Field(False, description="true: send no Authorization header.")

    @model_validator(mode="after")
    def _one_authorization(self) -> Self:
        if len([each for each in (self.oauth2, self.zgw, self.no_auth) if each]) > 1:
            raise fault("invalid", "oauth2, zgw en noAuth: geef er een van; er is een Authorization-header.")
        return self

    def __bool__(self) -> bool:
        """Whether it asks for anything."""
        return bool(self.kinds)

    def keeping(self, known: CallbackAuth | None) -> CallbackAuth:
        """The same with the former signing secret of `known`, if this has the same secret and names none."""
        if self.signature is None or known is None or known.signature is None:
            return self
        if self.signature.old_secret or not compare_digest(self.signature.secret, known.signature.secret):
            return self
        return self.model_copy(update={"signature": known.signature})

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is in it, by the names of its fields; nothing of it is secret."""
        fields = {
            "oauth2": self.oauth2,
            "zgw": self.zgw,
            "header": self.header,
            "signature": self.signature,
            "noAuth": self.no_auth,
        }
        return tuple(name for name, value in fields.items() if value)

    @property
    def replaces_auth(self) -> bool:
        """Whether `auth` is not sent."""
        return self.oauth2 is not None or self.zgw is not None or self.no_auth

    def as_given(self) -> dict[str, Any]:
        """What it was made of, secrets included."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def text(self) -> str:
        """As the registry keeps it, encrypted."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True)

    @classmethod
    def of_text(cls, text: str) -> CallbackAuth | None:
        """What `text` made; None of "". What a newer program added is left out."""
        return cls.model_validate_json(text, extra="ignore") if text else None


AUTHORIZATIONS = ("oauth2", "zgw", "noAuth")
"""The kinds of which there is one: they make the Authorization header."""
_SECRETS = frozenset({"secret", "value", "oldSecret"})


def with_kind(given: Mapping[str, Any], kind: str, value: object) -> dict[str, Any]:
    """What was given with one kind of it set; of the authorizations it takes the place of the others."""
    others = AUTHORIZATIONS if kind in AUTHORIZATIONS else ()
    return {**{name: each for name, each in given.items() if name not in others}, kind: value}


def former_secret(given: Mapping[str, Any], *, until: int) -> dict[str, Any]:
    """The fields by which the signing secret of what was given signs too, until then (Unix seconds).

    Raises KeyError when it has none.
    """
    return {"oldSecret": given["signature"]["secret"], "oldSecretUntil": until}


def without_secrets(auth: CallbackAuth | None) -> dict[str, Any]:
    """The same, for whoever may see it, as the API gives it."""
    given = auth.as_given() if auth else {}
    told = {
        kind: {name: text for name, text in value.items() if name not in _SECRETS}
        if isinstance(value, dict)
        else value
        for kind, value in given.items()
    }
    if auth is not None and auth.signature is not None and auth.signature.old_secret:
        until = auth.signature.old_secret_until
        told["signature"]["oldSecretUntil"] = (
            datetime.fromtimestamp(until, UTC).isoformat() if until else None
        )
    return told
