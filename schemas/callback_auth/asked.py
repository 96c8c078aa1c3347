"""What a callback may ask for beyond the Authorization header `auth`: checked, kept as JSON, told."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hmac import compare_digest
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.callback_auth.certificates import (
    MAX_CA,
    MAX_CHAIN,
    MAX_KEY,
    Facts,
    Unusable,
    checked_authorities,
    checked_chain,
    checked_key,
    facts_of,
)
from schemas.delivery_options.part import KEPT, Part
from schemas.fields import CallbackUrl, as_text, as_yes_or_text, fault, header_value, one_of, parse_date_time

WHSEC = "whsec_"
MAX_SECRET = 1000  # characters
MAX_TEXT = 200  # characters of a client id, a name
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_TAKEN = frozenset(
    {"authorization", "host", "content-type", "content-length", "content-encoding", "user-agent", "expect"}
    | {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "accept-encoding"}
    | {"traceparent", "tracestate"}
)
_TAKEN_PREFIXES = ("proxy-", "webhook-", "nrc-", "ce-")


def _text_of(*, most: int, blank: bool = False, lines: bool = False) -> BeforeValidator:
    def check(value: Any) -> str:
        text = as_text(value)
        if not blank and not text.strip():
            raise fault("blank", "Dit veld mag niet leeg zijn.")
        if len(text) > most:
            raise fault("max_length", f"Dit veld mag niet langer zijn dan {most} tekens.")
        if not lines and not text.isprintable():
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
Yes = Annotated[bool, BeforeValidator(as_yes_or_text)]


class SecretIn(StrEnum):
    """Where a token endpoint wants the client's secret."""

    HEADER = "header"
    BODY = "body"


class OAuth2(Part):
    """Where to get an access token by OAuth2 client credentials."""

    token_url: CallbackUrl = Field(description="The URL of the token endpoint.")
    client_id: Name = Field(description="The client id there.")
    secret: Secret = Field(
        "",
        repr=False,
        description="The secret of that client. It may be left out only with a client certificate that is "
        "used for the token too.",
    )
    scope: Annotated[str, _text_of(most=MAX_SECRET, blank=True)] = Field(
        "", description="The scope to ask for, if any; several with spaces between them."
    )
    audience: Annotated[str, _text_of(most=MAX_SECRET, blank=True)] = Field(
        "", description="The audience to ask for, where the token endpoint wants one."
    )
    secret_in: Annotated[SecretIn, BeforeValidator(one_of(SecretIn, "Dit is header of body."))] = Field(
        SecretIn.HEADER,
        description="Where the secret goes: header (Basic, the default) or body (client_secret).",
    )


class ZgwToken(Part):
    """A JWT as the ZGW APIs have it, made anew for each request."""

    client_id: Name = Field(description="The client id in the token: `iss` and `client_id`.")
    secret: Secret = Field(repr=False, description="The secret that signs it.")
    user_id: Optional = Field("", description="The `user_id` in the token.")
    user_representation: Optional = Field("", description="The `user_representation` in the token.")


class ApiKey(Part):
    """A header of its own, beside Authorization."""

    name: Annotated[str, BeforeValidator(_header_name)] = Field(description="The name of the header.")
    value: Annotated[str, BeforeValidator(header_value)] = Field(repr=False, description="Its value.")


class Signature(Part):
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


class ClientCertificate(Part):
    """A client certificate that a TLS connection to the callback is made with (mTLS), and its private key."""

    certificate: Annotated[str, _text_of(most=MAX_CHAIN, lines=True)] = Field(
        repr=False, description="The certificate in PEM, with those of its chain after it."
    )
    key_password: Annotated[str, _text_of(most=MAX_SECRET, blank=True)] = Field(
        "", repr=False, description="The password of the key, when that is encrypted."
    )
    key: Annotated[str, _text_of(most=MAX_KEY, lines=True)] = Field(
        repr=False, description="Its private key in PEM, RSA or EC."
    )
    use_for_token: Yes = Field(
        False, description="true: also for the token endpoint of oauth2 (RFC 8705), with `ca`."
    )

    @field_validator("certificate")
    @classmethod
    def _reads(cls, text: str, info: ValidationInfo) -> str:
        return text if info.context == KEPT else _usable(checked_chain, text)

    @field_validator("key")
    @classmethod
    def _fits(cls, text: str, info: ValidationInfo) -> str:
        known = info.data
        if info.context == KEPT or "certificate" not in known or "key_password" not in known:
            return text
        password, chain = known["key_password"], known["certificate"]
        return _usable(lambda key: checked_key(key, password=password, chain=chain)[0], text)

    @model_validator(mode="after")
    def _in_order(self, info: ValidationInfo) -> Self:
        """With its own certificate first, and without the password, which the key has no more."""
        if info.context == KEPT:
            return self
        _, chain = checked_key(self.key, password="", chain=self.certificate)
        return self.model_copy(update={"certificate": chain, "key_password": ""})

    @property
    def facts(self) -> Facts | None:
        """What it says of itself; None when it cannot be read any more."""
        return next(iter(facts_of(self.certificate)), None)


def _usable(check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except Unusable as error:
        raise fault("invalid", str(error)) from None


def _authorities(text: str, info: ValidationInfo) -> str:
    return text if not text or info.context == KEPT else _usable(checked_authorities, text)


class CallbackAuth(Part):
    """What goes with every request to one callback. Without anything in it, `auth` alone does.

    With `oauth2`, `zgw` or `no_auth`, `auth` is not sent.
    """

    oauth2: OAuth2 | None = Field(None, description="Send an OAuth2 access token in place of auth.")
    zgw: ZgwToken | None = Field(None, description="Send a ZGW token in place of auth.")
    header: ApiKey | None = Field(None, description="Send an API key in a header of this name too.")
    signature: Signature | None = Field(None, description="Sign each request by Standard Webhooks too.")
    no_auth: Yes = Field(False, description="true: send no Authorization header.")
    client_certificate: ClientCertificate | None = Field(
        None, description="Make the TLS connection with this client certificate."
    )
    ca: Annotated[str, _text_of(most=MAX_CA, blank=True, lines=True), AfterValidator(_authorities)] = Field(
        "",
        description="The authorities in PEM that the callback's certificate is checked against, in place of "
        "all others.",
    )

    @model_validator(mode="after")
    def _one_authorization(self) -> Self:
        if len([each for each in (self.oauth2, self.zgw, self.no_auth) if each]) > 1:
            raise fault("invalid", "oauth2, zgw en noAuth: geef er een van; er is een Authorization-header.")
        if self.oauth2 is not None and not self.oauth2.secret and not self.certificate_for_token:
            missing = ("oauth2.secret", "required", "Dit veld is verplicht.")
            raise PydanticCustomError("faults", "faults", {"faults": [missing]})
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

    def beside(self, known: CallbackAuth | None) -> CallbackAuth:
        """The same, and of `known` what goes beside any Authorization and this does not name."""
        if known is None:
            return self
        names = ("header", "signature", "client_certificate", "ca")
        return self.model_copy(
            update={name: getattr(known, name) for name in names if not getattr(self, name)}
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is in it, by the names of its fields; nothing of it is secret."""
        fields = {
            "oauth2": self.oauth2,
            "zgw": self.zgw,
            "header": self.header,
            "signature": self.signature,
            "noAuth": self.no_auth,
            "clientCertificate": self.client_certificate,
            "ca": self.ca,
        }
        return tuple(name for name, value in fields.items() if value)

    @property
    def replaces_auth(self) -> bool:
        """Whether `auth` is not sent."""
        return self.oauth2 is not None or self.zgw is not None or self.no_auth

    @property
    def identifies(self) -> bool:
        """Whether it asks for anything by which the callback knows us, or for nothing on purpose."""
        return bool({*self.kinds} - {"ca"})

    @property
    def is_open(self) -> bool:
        """Whether the callback is to take what comes from anybody."""
        return {*self.kinds} - {"ca"} == {"noAuth"}

    @property
    def has_own_tls(self) -> bool:
        """Whether connections are made with a certificate or authorities of its own."""
        return self.client_certificate is not None or bool(self.ca)

    @property
    def certificate_for_token(self) -> bool:
        """Whether the token endpoint is asked with the client certificate and `ca` too."""
        return self.client_certificate is not None and self.client_certificate.use_for_token

    @property
    def anonymous(self) -> CallbackAuth | None:
        """What holds for a request by which the callback is not to know us: whom it trusts."""
        return CallbackAuth.model_construct(ca=self.ca) if self.ca else None


KINDS = ("oauth2", "zgw", "header", "signature", "noAuth", "clientCertificate", "ca")
"""All kinds, by the names of their fields."""
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
    if auth is None:
        return {}
    given = auth.as_given()
    told: dict[str, Any] = {
        kind: {name: text for name, text in value.items() if name not in _SECRETS}
        if isinstance(value, dict)
        else value
        for kind, value in given.items()
    }
    if (certificate := auth.client_certificate) is not None:
        facts = certificate.facts
        told["clientCertificate"] = {
            **(facts.as_json() if facts else {}),
            "useForToken": certificate.use_for_token,
        }
    if auth.ca:
        told["ca"] = [each.as_json() for each in facts_of(auth.ca)]
    if auth.signature is not None and auth.signature.old_secret:
        until = auth.signature.old_secret_until
        told["signature"]["oldSecretUntil"] = (
            datetime.fromtimestamp(until, UTC).isoformat() if until else None
        )
    return told
