"""Every setting: its default, unit and help. Validated as a whole before a socket opens.

Settings are environment variables `NRC_…`, or the same names in a file `.env` in the working directory.
docs/settings.md is made from this class.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from dotenv.parser import Binding, parse_stream
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from yarl import URL

from runtime.trust import fault_of
from schemas.errors import SettingsError
from schemas.urls import is_loopback, read_url
from schemas.user import Role

PREFIX = "NRC_"
ENV_FILE = ".env"
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
MAX_RETRY_STEP = 7 * 24 * 3600
POSTGRESQL = ("postgresql://", "postgres://")
DEFAULT_SCHEMA = "nrc"
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}")

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_NLD = re.compile(
    r"urn:nld:(?!(?:oin|kvk):)[a-z0-9-]+:.+|urn:nld:oin:[0-9]{20}(:.+)?|urn:nld:kvk:[0-9]{8}(:.+)?"
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Listen = tuple[str, int]


def setting(default: Any, help: str, *, unit: str = "", secret: bool = False, **limits: Any) -> Any:
    """A field, with its texts for docs/settings.md and `nrc settings`."""
    extra: dict[str, Any] = {"unit": unit, "secret": secret}
    return Field(default, description=help, json_schema_extra=extra, validate_default=True, **limits)


def is_event_source(text: str) -> bool:
    """Whether it may be the `source` of CloudEvents: an absolute URI, and a right one of urn:nld."""
    if text.lower().startswith("urn:nld:"):
        return _NLD.fullmatch(text) is not None
    return len(text) <= 500 and _URI.fullmatch(text) is not None


class _EnvFile(DotEnvSettingsSource):
    """The file `.env` as it is written: `$` marks no variable, since it may be part of a password."""

    def _read_env_file(self, file_path: Path) -> Mapping[str, str | None]:
        return {each.key.lower(): each.value for each in _lines(file_path) if each.key is not None}


def _lines(file: Path) -> list[Binding]:
    """The lines of a `.env`. Editors on Windows put a byte order mark before the first."""
    with file.open(encoding="utf-8-sig") as stream:
        return list(parse_stream(stream))


class Settings(BaseSettings):
    """The settings of one process, read once at its start (`load_settings`)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True, str_strip_whitespace=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """In order of precedence: arguments, the environment, `.env`."""
        assert isinstance(dotenv_settings, DotEnvSettingsSource)  # noqa: S101 - knows which file, or none
        return init_settings, env_settings, _EnvFile(settings_cls, env_file=dotenv_settings.env_file)

    amqp_ca_file: Path | None = setting(
        None,
        "Authorities that RabbitMQ's certificate is checked against, in place of the system's. For each "
        "amqps:// URL that names no cafile of its own.",
        unit="PEM file",
    )
    amqp_url: Annotated[tuple[str, ...], NoDecode] = setting(
        (),
        "RabbitMQ nodes, comma-separated; on every reconnect the list is walked. Empty: `nrc up` starts a "
        "private node, and the other commands look for it in NRC_STATE_DIR.",
        unit="amqp:// or amqps:// URLs",
        secret=True,
    )
    amqp_direct: bool = setting(
        False,
        "Whether consumers may have a queue of their own in RabbitMQ, which they read as a user of their own "
        "(docs/amqp.md). Off: none is made, and what is for those that there are waits.",
    )
    amqp_direct_url: str = setting(
        "",
        "Where consumers reach RabbitMQ, without user and password, as they are told it. Empty: as "
        "NRC_AMQP_URL has it.",
        unit="amqp:// or amqps:// URL",
    )
    rabbitmq_management_url: str = setting(
        "",
        "RabbitMQ's HTTP API (management plugin), with a user that has the tag administrator: by it the "
        "router makes the users of consumers. Only the router needs it. Empty: an operator makes them.",
        unit="http:// or https:// URL",
        secret=True,
        repr=False,
    )
    database_url: str = setting(
        "",
        "Where registry and ledger are. postgresql://user@host:5432/name: in the schema `nrc` of a "
        "PostgreSQL database, or in the one that `?schema=` names; several hosts may share it, and the extra "
        "nrc[postgresql] is needed. sqlite:///path: in that file, with the ledger beside it. Empty: in the "
        "file registry.db in NRC_STATE_DIR.",
        unit="postgresql:// or sqlite:/// URL",
        secret=True,
    )
    database_listen_url: str = setting(
        "",
        "The database of NRC_DATABASE_URL without PgBouncer in between, for LISTEN. Empty: as that one; "
        "behind PgBouncer in transaction mode changes are then noticed within NRC_REFRESH_INTERVAL.",
        unit="postgresql:// URL",
        secret=True,
    )
    database_password_file: Path | None = setting(
        None,
        "A file with the password for PostgreSQL, in place of one in the URL; read at each connection, so "
        "that it may be replaced.",
        unit="file",
    )
    state_dir: Path = setting(
        Path("var"), "Where the registry file and the private broker live.", unit="folder"
    )
    secret_keys: Annotated[tuple[str, ...], NoDecode] = setting(
        (),
        "Keys that encrypt the secrets in the registry, comma-separated, the same for every process. The "
        "first encrypts, all decrypt. Empty: those in the file secret.keys in NRC_STATE_DIR, which the first "
        "start makes.",
        unit="32 bytes in base64",
        secret=True,
        repr=False,
    )
    gateway_listen: Annotated[Listen, NoDecode] = setting(
        "127.0.0.1:8000",
        "Where the gateway listens. `[::]:8000` is every address, also of IPv4; of a name the first address.",
        unit="host:port",
    )
    console_listen: Annotated[Listen | None, NoDecode] = setting(
        "127.0.0.1:8010",
        "Where the console listens. Empty: `nrc up` starts none.",
        unit="host:port",
    )
    console_public_url: str = setting(
        "",
        "The address at which people reach the console; the gateway's first page and alerts link to it. With "
        "https its cookies are for TLS only. Empty: the address that the browser used, and no link.",
        unit="URL",
    )
    console_session: int = setting(
        8 * 3600,
        "How long a login to the console lasts without a request; at most a day in all.",
        unit="s",
        ge=60,
        le=24 * 3600,
    )
    console_password_login: bool = setting(
        True,
        "Whether people may log in to the console with a password. false: by OpenID Connect only, and the "
        "first start makes no user.",
    )
    console_oidc_issuer: str = setting(
        "",
        "The OpenID provider by which people log in to the console, exactly as its discovery document has it "
        "under `issuer`. Empty: none.",
        unit="URL",
    )
    console_oidc_client_id: str = setting("", "The console's client id at the OpenID provider.")
    console_oidc_client_secret: str = setting(
        "",
        "The console's client secret at the OpenID provider. Empty, and no file: a public client, with PKCE "
        "alone.",
        secret=True,
        repr=False,
    )
    console_oidc_client_secret_file: Path | None = setting(
        None, "A file with that secret, in place of NRC_CONSOLE_OIDC_CLIENT_SECRET.", unit="file"
    )
    console_oidc_roles: Annotated[tuple[str, ...], NoDecode] = setting(
        "",
        "Which group of the OpenID provider has which role in the console (lezer, beheerder, admin), "
        "comma-separated: `nrc-beheer=beheerder,nrc-admin=admin`. Of several groups the greatest role "
        "counts; who has none may not log in. A comma or % in the name of a group is written %2C or %25.",
        unit="group=role",
    )
    console_oidc_groups_claim: str = setting(
        "groups",
        "The claim with a person's groups, in the id_token or at the userinfo endpoint; one within another "
        "with a dot: `realm_access.roles`.",
    )
    console_oidc_scopes: str = setting(
        "openid profile email", "The scopes that the OpenID provider is asked for.", unit="scopes"
    )
    console_oidc_name: str = setting(
        "", "What people call the OpenID provider, for the button on the login page. Empty: je werkaccount."
    )
    console_oidc_contact: str = setting(
        "de beheerder van deze NRC",
        "Whom to ask who may not log in by OpenID Connect; stands in Dutch sentences: `Vraag …`.",
    )
    console_oidc_ca_file: Path | None = setting(
        None,
        "Authorities that the OpenID provider's certificate is checked against, on top of the system's.",
        unit="PEM file",
    )
    console_style: Path | None = setting(
        None,
        "The house style of console and inbox, in place of console/static/huisstijl.css: the values of "
        "colours and sizes.",
        unit="CSS file",
    )
    health_listen: Annotated[Listen | None, NoDecode] = setting(
        "",
        "Where router, deliverer, keeper and alerts answer /health/live and /health/ready. Empty: nowhere.",
        unit="host:port",
    )
    metrics_listen: Annotated[Listen | None, NoDecode] = setting(
        "",
        "Where a process answers /metrics, for Prometheus. Each needs an address of its own: under `nrc up` "
        "the router has this one, the keeper the next port, gateway n the port plus 2n, deliverer n one more "
        "than that; the ports before it have console, inbox and alerts, in that order downwards. Empty: "
        "nowhere.",
        unit="host:port",
    )
    inbox_listen: Annotated[Listen | None, NoDecode] = setting(
        "127.0.0.1:8011",
        "Where `nrc up` has its callback inbox, at /inbox/; no other command starts one. Unless it is set, "
        "another port when this one is taken, and no inbox when NRC_CALLBACK_ALLOW_LOOPBACK is false. Empty: "
        "no inbox.",
        unit="host:port",
    )
    traces: Literal["off", "otlp"] = setting(
        "off",
        "Traces by OpenTelemetry, of gateway and deliverer: otlp sends them to OTEL_EXPORTER_OTLP_ENDPOINT; "
        "that needs the extra nrc[opentelemetry].",
    )
    public_url: str = setting(
        "",
        "Root of every URL in answers (url, Location, type), with /api/v1 or without it. Empty: the root "
        "that the client used.",
        unit="URL",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = setting(
        "",
        "Proxies whose X-Forwarded-Proto, -Host and -Prefix count, comma-separated.",
        unit="networks",
    )
    callback_check: Literal["full", "reachable", "off"] = setting(
        "full",
        "Check of a callback when an abonnement is made or changed: full (it refuses the test message "
        "without Authorization and accepts it with), reachable (accepts it with), off.",
    )
    callback_check_exempt_hosts: Annotated[tuple[str, ...], NoDecode] = setting(
        "",
        "Hosts that need not refuse a message without Authorization, comma-separated. "
        "Under `nrc up`, unless set: webhook.site.",
        unit="host names",
    )
    documentation_link_check: Literal["required", "off"] = setting(
        "off", "Whether the documentatieLink of a kanaal must answer 200."
    )
    callback_timeout: float = setting(
        10.0, "From connecting to a callback until its status.", unit="s", gt=0, le=60
    )
    delivery_options: bool = setting(
        True,
        "Whether an abonnement may have delivery options, such as a rate of its own. Off: none are set, and "
        "deliverers act as if there were none.",
    )
    callback_deny_networks: Annotated[tuple[Network, ...], NoDecode] = setting(
        "",
        "Addresses to which nothing is sent, comma-separated; of these and NRC_CALLBACK_ALLOW_NETWORKS the "
        "narrowest that has an address decides, and this one when both are as narrow.",
        unit="networks",
    )
    callback_allow_networks: Annotated[tuple[Network, ...], NoDecode] = setting(
        "",
        "Exceptions to NRC_CALLBACK_DENY_NETWORKS and to the rule against loopback, comma-separated. "
        "Link-local, metadata, multicast and reserved addresses stay refused.",
        unit="networks",
    )
    callback_allow_loopback: bool = setting(
        False,
        "Send to loopback addresses (127.0.0.0/8, ::1) too. `nrc up` has this true for the processes that it "
        "starts, unless it is set.",
    )
    callback_require_https: bool = setting(
        False, "Refuse a callbackUrl that is not https, at registration and at delivery."
    )
    callback_ca_file: Path | None = setting(
        None,
        "Authorities that certificates of callbacks are checked against, on top of the system's; also of the "
        "webhook and the mail server of alerts.",
        unit="PEM file",
    )
    callback_certificates: bool = setting(
        True,
        "Whether an abonnement may have a client certificate and authorities of its own (`clientCertificate` "
        "and `ca` of callbackAuth). False: none is set any more; where one is set, nothing is delivered.",
    )
    retry_schedule: Annotated[tuple[int, ...], NoDecode] = setting(
        "5,25,100,400,1600,6400,25600,52000",
        "Waiting times between attempts, comma-separated; after the last, a notificatie is undeliverable.",
        unit="s",
    )
    hold_retention: int = setting(
        14 * 24 * 3600,
        "How long a notificatie may wait in an abonnement's queue, whatever the reason; after that it is "
        "undeliverable.",
        unit="s",
        ge=1,
    )
    hold_budget: int = setting(
        1024**3,
        "How much may wait in an abonnement's queue; of more, the oldest are undeliverable. 0: any amount.",
        unit="bytes",
        ge=0,
    )
    ledger_bodies: int = setting(
        7 * 24 * 3600,
        "How long the ledger keeps a notificatie's body after its last delivery was settled. What waits "
        "keeps its body, for 30 days at most. Without it a notificatie cannot be sent again.",
        unit="s",
        ge=0,
    )
    ledger_rows: int = setting(
        30 * 24 * 3600,
        "How long the ledger keeps what became of a notificatie after its last delivery was settled.",
        unit="s",
        ge=0,
    )
    ledger_counts: int = setting(
        395 * 24 * 3600, "How long the ledger keeps its counts per minute.", unit="s", ge=0
    )
    ledger_budget: int = setting(
        10 * 1024**3,
        "How large the ledger may become. Above it bodies of what is settled go first, then its rows, "
        "then what has been undeliverable for longer than NRC_LEDGER_ROWS; when all of it is still needed, "
        "it accepts nothing more.",
        unit="bytes",
        ge=1024**2,
    )
    jwt_expiry: int = setting(3600, "Age (from iat) above which a token is refused.", unit="s", gt=0)
    time_leeway: int = setting(
        5, "How far an aanmaakdatum or a token's nbf may lie ahead.", unit="s", ge=0, le=3600
    )
    legacy_tokens: bool = setting(
        True, "Accept the 2019 form of token (client_identifier in the JWT header, zds.scopes)."
    )
    ac_url: str = setting(
        "",
        "Root of the Autorisaties API, such as https://example.nl/autorisaties/api/v1, for applications that "
        "take their scopes from it (--scopes-from-ac). Empty: it is not used.",
        unit="URL",
    )
    ac_client_id: str = setting(
        "", "Our own client id at the Autorisaties API; it needs the scope autorisaties.lezen there."
    )
    ac_secret: str = setting("", "The secret of that client.", secret=True, repr=False)
    ac_secret_file: Path | None = setting(
        None, "A file with that secret, in place of NRC_AC_SECRET; read at each start.", unit="file"
    )
    ac_ca_file: Path | None = setting(
        None,
        "Authorities that the Autorisaties API's certificate is checked against, on top of the system's.",
        unit="PEM file",
    )
    token_issuer: str = setting(
        "",
        "The client id of the token issuer: this application, and no other, may register applications by "
        "POST /api/v1/jwtsecret/, which take their scopes from the Autorisaties API. Empty: nobody may, and "
        "there is no such address.",
    )
    cloudevents: bool = setting(
        True,
        "CloudEvents: abonnementen may ask for them (sendCloudevents, cloudeventFilters), and sources may "
        "publish them with POST /api/v1/cloudevents. false: those fields mean nothing and are in no answer; "
        "who got CloudEvents before goes on getting them.",
    )
    cloudevents_source: str = setting(
        "",
        "`source` of CloudEvents that are made of notificaties without one: a URN such as "
        "urn:nld:oin:00000001823288444000:systeem:nrc. Empty: NRC_PUBLIC_URL, else /api/v1.",
        unit="URI",
    )
    cloudevents_handshake: Literal["off", "try", "required"] = setting(
        "try",
        "OPTIONS to a callback that is to get CloudEvents, when that is asked for: try (its rate and origin "
        "count when it answers, else it is sent events all the same), required (it must agree), off.",
    )
    cloudevents_window: float = setting(
        24 * 3600.0,
        "How long a CloudEvent is known by its source and id: what is sent again then is not delivered "
        "again. No longer than NRC_LEDGER_BODIES. 0: each is accepted.",
        unit="s",
        ge=0,
    )
    max_body: int = setting(
        1024 * 1024, "Largest body of a request.", unit="bytes", ge=1024, le=64 * 1024 * 1024
    )
    quota_kanalen: int = setting(
        1000,
        "Kanalen that one application may make. More is a 403; those that there are stay.",
        unit="kanalen",
        ge=1,
    )
    quota_abonnementen: int = setting(
        1000,
        "Abonnementen that one application may have, each with a queue of its own in RabbitMQ. More is a "
        "403; those that there are stay.",
        unit="abonnementen",
        ge=1,
    )
    max_hops: int = setting(
        4,
        "Deliveries of an NRC, of this one or another, that a notificatie may have gone through when it is "
        "published here; one that has been through more goes round, and gets 508. 0: nothing is taken from "
        "an NRC.",
        unit="deliveries",
        ge=0,
        le=1000,
    )
    attribute_filters: Literal["on", "also-plain", "off"] = setting(
        "on",
        "Whether an abonnement may filter on #actie, #resource and #hoofdObject. also-plain: also as actie, "
        "resource and hoofdObject, where the kanaal has no kenmerk of that name. off: those are names like "
        "any other; abonnementen that have such filters keep them.",
    )
    pass_on_ids: bool = setting(
        True,
        "Pass X-Batch-Id and X-Correlation-Id of a publisher on to callbacks. Off: they are not looked at, "
        "and nothing is bulk.",
    )
    bulk_lane: bool = setting(
        True,
        "What comes with X-Batch-Id is bulk: it waits in the ledger, and a few at a time go to each queue, "
        "so that the rest is not held up. Off: it goes with the rest.",
    )
    extra_rate: float = setting(
        10.0,
        "Requests that one application may make to /api/extra/v1 in a second, of one gateway; five seconds' "
        "worth at once. More is a 429.",
        unit="requests/s",
        gt=0,
        le=10000,
    )
    gateway_max_in_flight: int = setting(
        2000,
        "Notificaties that one gateway works on at once, half of them of one client; what comes beyond gets "
        "503 or 429.",
        unit="requests",
        ge=1,
        le=100000,
    )
    gateway_max_connections: int = setting(
        4000,
        "Open connections per gateway. Beyond it the one that has asked nothing for longest is closed.",
        unit="connections",
        ge=10,
        le=100000,
    )
    deliverer_concurrency: int = setting(
        200, "Callbacks at once, per deliverer process.", unit="requests", ge=1, le=10000
    )
    deliverer_prefetch: int = setting(
        50, "Callbacks at once, per abonnement and deliverer process.", unit="requests", ge=1, le=1000
    )
    deliverer_memory: int = setting(
        256 * 1024**2,
        "Bodies of notificaties that a deliverer process has in hand at once. Beyond it queues send fewer at "
        "once, each one at least; so one body of each abonnement may come on top.",
        unit="bytes",
        ge=1024**2,
    )
    gateway_processes: int = setting(1, "Gateway processes that `nrc up` starts.", ge=1, le=64)
    deliverer_processes: int = setting(1, "Deliverer processes that `nrc up` starts.", ge=1, le=64)
    reconcile_interval: int = setting(300, "Between two comparisons of registry and broker.", unit="s", ge=1)
    refresh_interval: float = setting(
        10.0,
        "Between two looks at the registry's change number, beside the hints over RabbitMQ.",
        unit="s",
        gt=0,
        le=30,
    )
    stop_timeout: float = setting(
        6.0, "After SIGTERM, how long what is in flight may take.", unit="s", ge=0, le=600
    )
    log_format: Literal["console", "json"] = setting("console", "Form of the log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "Least level logged.")

    @field_validator(
        "amqp_url",
        "secret_keys",
        "callback_check_exempt_hosts",
        "retry_schedule",
        "console_oidc_roles",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator(
        "amqp_ca_file",
        "callback_ca_file",
        "console_style",
        "console_oidc_client_secret_file",
        "console_oidc_ca_file",
        "ac_secret_file",
        "ac_ca_file",
        "database_password_file",
        mode="before",
    )
    @classmethod
    def _no_file(cls, value: Any) -> Any:
        return value or None

    @field_validator("amqp_ca_file", "callback_ca_file", "console_oidc_ca_file", "ac_ca_file")
    @classmethod
    def _authorities(cls, file: Path | None) -> Path | None:
        # Read here already, so that this fault is reported with all others, before a socket opens.
        if fault := fault_of(file):
            raise ValueError(fault)
        return file

    @field_validator("amqp_url")
    @classmethod
    def _amqp(cls, urls: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        trusted = []
        for text in urls:
            try:
                url = read_url(text)
            except ValueError:
                url = URL()
            if url.scheme not in ("amqp", "amqps") or not url.host:
                raise ValueError(
                    "each must be amqp://user:password@host:port/vhost (or amqps://), with / # ? @ : of a "
                    "password written as %2F %23 %3F %40 %3A"
                )
            file = info.data.get("amqp_ca_file")
            if file and url.scheme == "amqps" and "cafile" not in url.query:
                text = str(url.update_query(cafile=str(file)))
            trusted.append(text)
        return tuple(trusted)

    @field_validator("amqp_direct_url")
    @classmethod
    def _for_consumers(cls, text: str) -> str:
        url = read_url(text)
        fits = url.scheme in ("amqp", "amqps") and url.host and url.user is None
        if text and (not fits or url.query_string):
            raise ValueError("must be amqps://host[:port]/vhost (or amqp://), without user and password")
        return text

    @field_validator("rabbitmq_management_url")
    @classmethod
    def _management(cls, text: str) -> str:
        url = read_url(text)
        if text and (url.scheme not in ("http", "https") or not url.host or not url.user):
            raise ValueError("must be https://user:password@host:port (or http://)")
        return text

    @field_validator(
        "console_style", "database_password_file", "console_oidc_client_secret_file", "ac_secret_file"
    )
    @classmethod
    def _readable(cls, file: Path | None) -> Path | None:
        if file is not None:
            try:
                file.read_bytes()
            except OSError as error:
                raise ValueError(f"{file}: {error.strerror or error}") from None
        return file

    @field_validator("secret_keys")
    @classmethod
    def _keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        # Either alphabet of base64 will do; the library takes one.
        plain = tuple(key.replace("+", "-").replace("/", "_") for key in keys)
        for key in plain:
            try:
                fits = len(base64.b64decode(key, altchars=b"-_", validate=True)) == 32
            except ValueError:
                fits = False
            if not fits:
                raise ValueError("each must be 32 bytes in base64; `openssl rand -base64 32` makes one")
        return plain

    @field_validator("trusted_proxies", "callback_deny_networks", "callback_allow_networks", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ipaddress.ip_network(item) for item in cls._split(value))
        except ValueError as error:
            raise ValueError(f"each must be a network such as 10.0.0.0/8 or an address: {error}") from None

    @field_validator("callback_deny_networks", "callback_allow_networks")
    @classmethod
    def _as_seen(cls, networks: tuple[Network, ...]) -> tuple[Network, ...]:
        for network in networks:
            if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
                raise ValueError(f"{network} never matches; write the IPv4 network that is meant")
        return networks

    @field_validator("retry_schedule")
    @classmethod
    def _schedule(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= step <= MAX_RETRY_STEP for step in steps):
            raise ValueError(f"each must be from 1 to {MAX_RETRY_STEP} seconds")
        if len(steps) > 50:
            raise ValueError("at most 50 steps")
        return steps

    @field_validator(
        "gateway_listen", "health_listen", "metrics_listen", "inbox_listen", "console_listen", mode="before"
    )
    @classmethod
    def _listen(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        if not value and info.field_name != "gateway_listen":
            return None
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdecimal() or not 0 <= int(port) < 65536:
            raise ValueError("must be host:port, e.g. 127.0.0.1:8000 or [::1]:8000")
        return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - what an empty host means

    @field_validator("cloudevents_source")
    @classmethod
    def _event_source(cls, text: str) -> str:
        if text and not is_event_source(text):
            raise ValueError(
                "must be a URI; by the NL GOV profile one such as "
                "urn:nld:oin:00000001823288444000:systeem:nrc, with the 20 digits of an OIN or the 8 of a "
                "KvK number"
            )
        return text

    @field_validator("public_url", "console_public_url")
    @classmethod
    def _public(cls, text: str, info: ValidationInfo) -> str:
        url = read_url(text)
        if text and (url.scheme not in ("http", "https") or not url.host or url.query_string):
            raise ValueError("must be http(s)://host[:port][/prefix]")
        root = text.rstrip("/")
        return root.removesuffix("/api/v1") if info.field_name == "public_url" else root

    @field_validator("console_oidc_issuer")
    @classmethod
    def _issuer(cls, text: str, info: ValidationInfo) -> str:
        url = read_url(text)
        if not text:
            if info.data.get("console_password_login") is False:
                raise ValueError(
                    "must be set where NRC_CONSOLE_PASSWORD_LOGIN is false: else nobody can log in"
                )
            return text
        if url.scheme not in ("http", "https") or not url.host or url.query_string or url.fragment:
            raise ValueError("must be https://host[:port][/path], without a query")
        if url.scheme == "http" and not is_loopback(url):
            raise ValueError("must be https; http is taken of this machine itself only")
        if not info.data.get("console_public_url"):
            raise ValueError("needs NRC_CONSOLE_PUBLIC_URL: the provider sends people back to that address")
        return text

    @field_validator("console_oidc_client_id")
    @classmethod
    def _client_id(cls, text: str, info: ValidationInfo) -> str:
        if info.data.get("console_oidc_issuer") and not text:
            raise ValueError("must be set where NRC_CONSOLE_OIDC_ISSUER is")
        return text

    @field_validator("console_oidc_client_secret_file")
    @classmethod
    def _one_secret(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and info.data.get("console_oidc_client_secret"):
            raise ValueError("NRC_CONSOLE_OIDC_CLIENT_SECRET is set too; set one of the two")
        return file

    @field_validator("ac_url")
    @classmethod
    def _ac(cls, text: str) -> str:
        url = read_url(text)
        if text and (
            url.scheme not in ("http", "https")
            or not url.host
            or url.query_string
            or url.fragment
            or url.user is not None
        ):
            raise ValueError("must be http(s)://host[:port]/path, the address that ends before /applicaties")
        return text.rstrip("/")

    @field_validator("ac_client_id")
    @classmethod
    def _ac_client(cls, text: str, info: ValidationInfo) -> str:
        if info.data.get("ac_url") and not text:
            raise ValueError("must be set where NRC_AC_URL is")
        return text

    @field_validator("token_issuer")
    @classmethod
    def _issues(cls, text: str, info: ValidationInfo) -> str:
        if text and not info.data.get("ac_url"):
            raise ValueError("needs NRC_AC_URL: what it registers takes its scopes from there")
        return text

    @field_validator("ac_secret_file")
    @classmethod
    def _one_ac_secret(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("ac_url") and (file is None) == (not info.data.get("ac_secret")):
            raise ValueError("set it or NRC_AC_SECRET, one of the two, where NRC_AC_URL is set")
        return file

    @field_validator("console_oidc_roles")
    @classmethod
    def _roles(cls, pairs: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for pair in pairs:
            group, _, role = pair.rpartition("=")
            if not group.strip() or role.strip() not in [*Role]:
                raise ValueError(f"each must be group=role, with a role of {', '.join(Role)}")
        if info.data.get("console_oidc_issuer") and not pairs:
            raise ValueError("must be set where NRC_CONSOLE_OIDC_ISSUER is: else nobody has a role")
        return pairs

    @field_validator("console_oidc_scopes")
    @classmethod
    def _scopes(cls, text: str) -> str:
        if "openid" not in text.split():
            raise ValueError("must have openid among them, with spaces between")
        return text

    @field_validator("database_url")
    @classmethod
    def _database(cls, text: str) -> str:
        if text and not text.startswith(("sqlite:///", *POSTGRESQL)):
            raise ValueError(
                "must be postgresql://user@host:port/database, sqlite:///relative/path or sqlite:////absolute/path"
            )
        schema = dict(parse_qsl(text.partition("?")[2])).get("schema", DEFAULT_SCHEMA)
        if text.startswith(POSTGRESQL) and not _SCHEMA.fullmatch(schema):
            raise ValueError("its schema must be at most 40 letters, digits and _, in lower case")
        return text

    @field_validator("database_listen_url")
    @classmethod
    def _listens(cls, text: str) -> str:
        if text and not text.startswith(POSTGRESQL):
            raise ValueError("must be postgresql://user@host:port/database")
        return text

    @property
    def oidc_client_secret(self) -> str:
        """The console's client secret, also where it is in a file; "" for none. Raises OSError."""
        file = self.console_oidc_client_secret_file
        return file.read_text().strip() if file is not None else self.console_oidc_client_secret

    @property
    def ac_client_secret(self) -> str:
        """The secret of our client at the Autorisaties API, also where it is in a file. Raises OSError."""
        file = self.ac_secret_file
        return file.read_text().strip() if file is not None else self.ac_secret

    @property
    def on_postgresql(self) -> bool:
        """Whether registry and ledger are in PostgreSQL, so that there are no files of them."""
        return self.database_url.startswith(POSTGRESQL)

    @property
    def registry_file(self) -> Path:
        """The SQLite file of the registry; with PostgreSQL where it would be."""
        if self.database_url and not self.on_postgresql:
            return Path(self.database_url.removeprefix("sqlite:///"))
        return self.state_dir / "registry.db"


def log_is_json() -> bool:
    """Whether NRC_LOG_FORMAT asks for JSON, also where other settings are wrong."""
    in_environment = EnvSettingsSource(Settings)().get("log_format")
    if in_environment is None:
        with suppress(UnicodeDecodeError, OSError):
            return bool(_EnvFile(Settings)().get("log_format") == "json")
    return bool(in_environment == "json")


def origins() -> dict[str, str]:
    """The source of each setting's value, by field: `environment`, `.env` or `default`."""
    in_environment, in_file = EnvSettingsSource(Settings)(), _EnvFile(Settings)()
    return {
        field: "environment" if field in in_environment else ".env" if field in in_file else "default"
        for field in Settings.model_fields
    }


def unknown_variables() -> dict[str, str]:
    """Variables that look like a setting and are none, each with the setting that may be meant, or "".

    All of `.env`; of the environment only those close to a setting, since others use `NRC_…` too, such as
    Kubernetes for a service called nrc.
    """
    known = [env_name(field) for field in Settings.model_fields]
    in_file = {env_name(field) for field in _EnvFile(Settings)()}
    found = {}
    for name in sorted({*in_file, *os.environ} - {*known}):
        meant = get_close_matches(name, known, n=1, cutoff=0.85) if name.startswith(PREFIX) else []
        if meant or name in in_file:
            found[name] = meant[0] if meant else ""
    return found


def env_name(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def load_settings(**overrides: Any) -> Settings:
    """The settings from the environment and `.env`; overrides win. Raises SettingsError with every fault."""
    try:
        settings, faults = Settings(**overrides), []
    except (UnicodeDecodeError, OSError) as error:
        unreadable = "not UTF-8; save it as UTF-8" if isinstance(error, ValueError) else error.strerror
        raise SettingsError([f".env: {unreadable}", *_faults_without_file(overrides)]) from None
    except ValidationError as error:
        settings, faults = None, _faults(error)
    faults = [*_faults_of_lines(overrides.get("_env_file", ENV_FILE)), *faults]
    if settings is None or faults:
        raise SettingsError(faults)
    return settings


def _faults_of_lines(name: str | None) -> list[str]:
    """The numbers of lines of a `.env` that are no assignment; not their text, which may be secret."""
    if name is None or not Path(name).is_file():
        return []
    wrong = (each.original for each in _lines(Path(name)) if each.error)
    numbers = (each.line + _blank_lines_before(each.string) for each in wrong)
    return [f"{name}: line {number} is not NAME=value" for number in numbers]


def _blank_lines_before(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n")


def _faults_without_file(overrides: Mapping[str, Any]) -> list[str]:
    """The faults of settings other than that the `.env` cannot be read."""
    try:
        Settings(**{**overrides, "_env_file": None})
    except ValidationError as error:
        return _faults(error)
    return []


def _faults(error: ValidationError) -> list[str]:
    """A line for each fault."""
    lines = (
        f"{env_name(str(fault['loc'][0]))}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_input=False, include_url=False)
    )
    return list(dict.fromkeys(lines))
