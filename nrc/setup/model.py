"""What a setup file may have. Every scalar comes as its text; a name that is not here is refused.

What is left out of something that is there already stays as it is; of something new it has the default.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID, uuid5

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from operating.moments import read_duration
from router.amqp_direct.queues import AmqpQueue
from schemas.abonnement import FilterGroup, FilterGroupRequest, as_groups
from schemas.alert import Rule, Security
from schemas.application import MAX_CLIENT_ID, Scope, is_client_id, read_scope
from schemas.callback_auth import CallbackAuth
from schemas.delivery_options import DeliveryOptions
from schemas.events.mapping import MAX_RULES, EventMapping, OwnMappingName
from schemas.events.mapping import Rule as EventRule
from schemas.fields import Auth, CallbackUrl, DocumentatieLink, FilterNaam, KanaalNaam, fault
from schemas.kanaal import MAX_FILTERS
from schemas.user import Role, read_user_name

NAMES = UUID("b6a1d0c3-6f0e-5b52-9d3e-6b8c7b1f2a90")
"""In which the name of an abonnement is its UUID (version 5): the same name has the same UUID everywhere."""
LEAST_PASSWORD = 20  # characters of one in RabbitMQ, which keeps a fast hash of it


def _duration(value: Any) -> Any:
    if value == "0":
        return 0
    try:
        return read_duration(str(value))
    except ValueError as error:
        raise fault("invalid", str(error)) from None


def _again(value: Any) -> Any:
    return 0 if value == "never" else _duration(value)


def _scope(value: Any) -> Any:
    found = read_scope(str(value)) or read_scope(f"notificaties.{value}")
    if found is None:
        raise fault("invalid", "this is no scope; there are publiceren and consumeren")
    return found


def _client_id(text: str) -> str:
    if not is_client_id(text):
        raise fault("invalid", f"a clientId is 1 to {MAX_CLIENT_ID} printable characters")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise fault("invalid", "printable characters only")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise fault("blank", "this is blank")
    return text


def _user_name(text: str) -> str:
    name = read_user_name(text)
    if name is None:
        raise fault(
            "invalid",
            "this is no name of a user: 1 to 64 of a-z, 0-9, . _ @ -, the first a letter or a digit",
        )
    return name


def _long(text: str) -> str:
    if len(text) < LEAST_PASSWORD or not text.isascii() or not text.isprintable():
        raise fault("invalid", f"a password is at least {LEAST_PASSWORD} printable ASCII characters")
    return text


def _texts(of: list[str]) -> dict[str, Any]:
    return {"type": "string", "enum": of}


Duration = Annotated[
    int, BeforeValidator(_duration), WithJsonSchema({"type": "string", "pattern": r"^(0|(\d+[smhd])+)$"})
]
Again = Annotated[
    int, BeforeValidator(_again), WithJsonSchema({"type": "string", "pattern": r"^(0|never|(\d+[smhd])+)$"})
]
AnyScope = Annotated[
    Scope, BeforeValidator(_scope), WithJsonSchema(_texts(["publiceren", "consumeren", *Scope]))
]
ClientId = Annotated[str, AfterValidator(_client_id)]
Label = Annotated[str, AfterValidator(_printable)]
Name = Annotated[str, AfterValidator(_not_blank), AfterValidator(_printable)]
Secret = Annotated[str, AfterValidator(_not_blank)]
UserName = Annotated[str, AfterValidator(_user_name)]


class Part(BaseModel):
    """A mapping of a setup file."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class KanaalPart(Part):
    """A kanaal."""

    naam: KanaalNaam = Field(description="Its name, by which it is recognised. It cannot change.")
    documentatie_link: DocumentatieLink | None = Field(
        None, description="The URL where its kenmerken are explained."
    )
    filters: list[FilterNaam] | None = Field(
        None, max_length=MAX_FILTERS, description="The kenmerken that abonnementen may filter on."
    )


class ApplicationPart(Part):
    """An application: a client of the API."""

    client_id: ClientId = Field(description="Its client id, by which it is recognised.")
    label: Label | None = Field(None, description="What it is, for people.")
    secret: Secret | None = Field(
        None,
        description="The secret that it signs its tokens with. A new application must have one.",
    )
    keep_old_secret: Duration = Field(
        0, description="How long the former secret counts too, when `secret` is another: such as 24h."
    )
    scopes: list[AnyScope] | None = Field(None, description="All that it may do.")
    scopes_from_token: bool | None = Field(
        None, description="Whether it may do what its tokens say (the 2019 way)."
    )

    scopes_from_ac: bool | None = Field(
        None, description="Whether it may do what the Autorisaties API says (NRC_AC_URL)."
    )

    @model_validator(mode="after")
    def _one_of_all(self) -> ApplicationPart:
        if bool(self.scopes_from_token) + bool(self.scopes_from_ac) + (self.scopes is not None) > 1:
            raise fault("invalid", "scopes, scopesFromToken and scopesFromAc: give one of them")
        return self


class GroupPart(FilterGroupRequest):
    """A kanaal of an abonnement, and the filters of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind(StrEnum):
    """How notificaties reach a consumer."""

    PUSH = "push"
    PULL = "pull"
    AMQP = "amqp"


class AmqpPart(AmqpQueue):
    """What the consumer of an abonnement of type amqp reads, and the password of its user in RabbitMQ."""

    password: Annotated[str, AfterValidator(_long)] | None = Field(
        None,
        repr=False,
        description="The password of its user, at least 20 characters. Without one it gets one that nobody "
        "knows; `nrc amqp password` gives another.",
    )


class AbonnementPart(Part):
    """An abonnement."""

    name: Name | None = Field(
        None,
        description="A name of your own, by which it is recognised again: its UUID follows from it. "
        "Another name is another abonnement.",
    )
    uuid: UUID | None = Field(
        None, description="Its UUID, in place of a name: of one that is there already, or to be kept."
    )
    client_id: ClientId = Field(description="The application that it is of, and that may change it.")
    type: Kind = Field(
        Kind.PUSH,
        description="push: sent to callbackUrl. pull: its consumer fetches what is for it. amqp: it reads a "
        "queue of its own in RabbitMQ.",
    )
    callback_url: CallbackUrl | None = Field(None, description="Where notificaties are POSTed.")
    auth: Auth | None = Field(
        None,
        description="The Authorization header of those POSTs. A new abonnement of type push must have one, "
        "or callbackAuth.",
    )
    callback_auth: CallbackAuth | None = Field(
        None, description="What the callback asks for beyond auth, or in place of it. {} for nothing."
    )
    options: DeliveryOptions | None = Field(
        None, description="How it wants to be delivered to. {} for as ever."
    )
    amqp: AmqpPart | None = Field(
        None, description="Of type amqp: what its consumer reads. It cannot change, but for the password."
    )
    kanalen: Annotated[list[GroupPart], BeforeValidator(as_groups)] = Field(
        description="Which notificaties it is for."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> AbonnementPart:
        if (self.name is None) == (self.uuid is None):
            raise fault("invalid", "give it a name, or its uuid, by which it is recognised again")
        if self.type is not Kind.PUSH and (self.callback_url or self.auth or self.callback_auth):
            raise fault("invalid", f"one of type {self.type} has neither callbackUrl nor auth")
        if self.type is not Kind.AMQP and self.amqp is not None:
            raise fault("invalid", "amqp is of `type: amqp` only")
        if self.type is Kind.PULL and self.options:
            raise fault("invalid", "one of type pull has no options: nothing is sent to it")
        if self.type is Kind.PUSH and self.callback_url is None:
            raise fault("required", "callbackUrl is required, or `type: pull` or `amqp`")
        return self

    @property
    def key(self) -> UUID:
        """Its UUID."""
        return self.uuid or uuid5(NAMES, self.name or "")

    @property
    def told(self) -> str:
        """How it is named to people."""
        return self.name or str(self.uuid)

    @property
    def groups(self) -> tuple[FilterGroup, ...]:
        """What it asks for, as the registry keeps it."""
        return tuple(FilterGroup(group.naam, tuple(group.filters.items())) for group in self.kanalen)


class UserPart(Part):
    """A user of the console with a password. Who logs in by OpenID Connect is made by the first login."""

    name: UserName = Field(description="Its name, by which it is recognised.")
    role: Role = Field(description="What this user may do.")
    password: Secret | None = Field(
        None,
        description="Its password, which is set again when it is another.",
    )
    initial_password: Secret | None = Field(
        None,
        description="The password of a new user, who may change it; of one that is there it does nothing.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> UserPart:
        if self.password is not None and self.initial_password is not None:
            raise fault("invalid", "password and initialPassword: give one of them")
        return self


class RulePart(Part):
    """Of what is warned."""

    enabled: bool | None = Field(None, description="Whether to warn.")
    after: Duration | None = Field(
        None,
        description="How long it must last; of certificates, how long before their end. 0: at once.",
    )


class WebhookPart(Part):
    """A webhook to which alerts are POSTed as CloudEvents."""

    url: str = Field(description="Its address.")
    authorization: Secret | None = Field(None, description="The value of its Authorization header.")
    enabled: bool | None = Field(None, description="Whether to send there.")


class MailPart(Part):
    """A mail server, and who gets alerts by mail."""

    host: str = Field(description="The mail server.")
    port: int | None = Field(None, description="Default: 587 with starttls, 465 with tls, else 25.")
    security: Security = Field(Security.STARTTLS, description="How the connection is protected.")
    user: str = Field("", description="To log in there; empty for none.")
    password: Secret | None = Field(None, description="The password of that user.")
    sender: str = Field(alias="from", description="From whom mail comes.")
    recipients: list[str] = Field(alias="to", description="Who gets it.")
    enabled: bool | None = Field(None, description="Whether to send there.")


class AlertsPart(Part):
    """Of what operators are warned, and where that goes."""

    rules: dict[Rule, RulePart] = Field(default_factory=dict, description="Each rule that is to be set.")
    pause: Duration | None = Field(None, description="At least so long between two messages of one subject.")
    again: Again | None = Field(None, description="After how long a message is repeated, or never.")
    source: str | None = Field(None, description="The source of the CloudEvents to the webhook, a URI.")
    webhook: WebhookPart | None = Field(None, description="Send messages to a webhook.")
    mail: MailPart | None = Field(None, description="Send messages by mail.")


class MappingPart(Part):
    """A mapping of notificaties to CloudEvents."""

    name: OwnMappingName = Field(description="Its name, by which abonnementen choose it.")
    rules: list[EventRule] = Field(
        description="Which notificaties become which event; the first that fits counts."
    )

    @model_validator(mode="after")
    def _has_rules(self) -> MappingPart:
        if not 1 <= len(self.rules) <= MAX_RULES:
            raise fault("invalid", f"a mapping has 1 to {MAX_RULES} rules")
        return self

    @property
    def mapping(self) -> EventMapping:
        """The same, as the registry has it."""
        return EventMapping(rules=tuple(self.rules))


class SetupFile(Part):
    """A setup file. A section that is left out is not looked at, with --prune neither."""

    kanalen: list[KanaalPart] | None = Field(None, description="What sources publish on.")
    applications: list[ApplicationPart] | None = Field(None, description="The clients of the API.")
    mappings: list[MappingPart] | None = Field(
        None, description="Own mappings of notificaties to CloudEvents."
    )
    abonnementen: list[AbonnementPart] | None = Field(None, description="Which notificaties go where.")
    users: list[UserPart] | None = Field(None, description="Users of the console with a password.")
    alerts: AlertsPart | None = Field(None, description="Of what operators are warned.")
