"""What operators are warned of (alerts): the rules, and where messages go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from schemas.urls import read_url

MINUTE, HOUR, DAY = 60, 3600, 86400
MAX_TEXT = 1000
"""Characters of a field of a destination."""
MAX_RECIPIENTS = 20

_ADDRESS = re.compile(r"[!-~]{1,64}@[A-Za-z0-9.\-\[\]:]{1,189}")
_NOT_IN_ADDRESS = frozenset('<>,;"()\\')
_HOST = re.compile(r"[A-Za-z0-9.\-:_]{1,253}")
_SOURCE = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]{1,300}")


class Rule(StrEnum):
    """What operators can be warned of."""

    HELD = "held"
    SUSPENDED = "suspended"
    WAITS_LONG = "waits-long"
    UNDELIVERABLE = "undeliverable"
    LOST = "lost"
    GAP = "gap"
    LEDGER = "ledger"
    PARTS = "parts"
    DISK = "disk"
    CERTIFICATE = "certificate"
    CLIENT_CERTIFICATE = "client-certificate"


@dataclass(frozen=True, slots=True)
class RuleSetting:
    """after: seconds that it must last before a message goes; of a certificate, before its end."""

    on: bool = True
    after: int = 0


DEFAULTS: Mapping[Rule, RuleSetting] = MappingProxyType(
    {
        Rule.HELD: RuleSetting(after=15 * MINUTE),
        Rule.SUSPENDED: RuleSetting(),
        Rule.WAITS_LONG: RuleSetting(after=HOUR),
        Rule.UNDELIVERABLE: RuleSetting(),
        Rule.LOST: RuleSetting(),
        Rule.GAP: RuleSetting(),
        Rule.LEDGER: RuleSetting(after=MINUTE),
        Rule.PARTS: RuleSetting(after=MINUTE),
        Rule.DISK: RuleSetting(),
        Rule.CERTIFICATE: RuleSetting(after=14 * DAY),
        Rule.CLIENT_CERTIFICATE: RuleSetting(after=30 * DAY),
    }
)
BEFORE_ITS_END = frozenset({Rule.CERTIFICATE, Rule.CLIENT_CERTIFICATE})
"""The rules whose time counts back from the end of something."""


class Channel(StrEnum):
    """By what means a message goes."""

    WEBHOOK = "webhook"
    MAIL = "mail"


class Security(StrEnum):
    """How the connection to a mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


PORTS: Mapping[Security, int] = MappingProxyType(
    {Security.STARTTLS: 587, Security.TLS: 465, Security.NONE: 25}
)
"""The usual port of a mail server."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address to which each message is POSTed. secret: the value of `Authorization`, or ""."""

    url: str
    secret: str = field(default="", repr=False)
    on: bool = True

    @property
    def server(self) -> str:
        """Its scheme, host and port, for people: what follows may be as secret as a password."""
        return f"{read_url(self.url).origin()}/…"

    def secret_fits(self, other: Webhook) -> bool:
        """Whether its secret may go to the other's address: to the same server."""
        try:
            return read_url(self.url).origin() == read_url(other.url).origin()
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail server and who gets mail. user: "" for a server without a login; secret: its password."""

    host: str
    port: int
    security: Security
    sender: str
    recipients: tuple[str, ...]
    user: str = ""
    secret: str = field(default="", repr=False)
    on: bool = True

    def secret_fits(self, other: Mail) -> bool:
        """Whether its password may go to the other's server: to the same one, protected the same way."""
        return (self.host, self.port, self.security, self.user) == (
            *(other.host, other.port, other.security, other.user),
        )


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What operators set of alerts.

    source: of CloudEvents. pause: seconds between two messages of one subject, at the least. again: seconds
    after which a message is repeated while it lasts; 0 for never.
    """

    source: str
    rules: Mapping[Rule, RuleSetting] = field(default_factory=lambda: dict(DEFAULTS))
    webhook: Webhook | None = None
    mail: Mail | None = None
    pause: int = HOUR
    again: int = DAY

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Those by which messages go now."""
        found = []
        if self.webhook is not None and self.webhook.on:
            found.append(Channel.WEBHOOK)
        if self.mail is not None and self.mail.on:
            found.append(Channel.MAIL)
        return tuple(found)

    def rule(self, rule: Rule) -> RuleSetting:
        """One rule as it is set."""
        return self.rules.get(rule, DEFAULTS[rule])

    def with_webhook(self, webhook: Webhook, *, keep: bool) -> AlertSettings:
        """With this webhook. keep: with the secret that is there, where that may go to the new address."""
        if keep and self.webhook is not None and self.webhook.secret_fits(webhook):
            webhook = replace(webhook, secret=self.webhook.secret)
        return replace(self, webhook=webhook)

    def with_mail(self, mail: Mail, *, keep: bool) -> AlertSettings:
        """With this mail server. keep: as of `with_webhook`."""
        if keep and self.mail is not None and self.mail.secret_fits(mail):
            mail = replace(mail, secret=self.mail.secret)
        return replace(self, mail=mail)


class Fault(StrEnum):
    """What may be wrong with a destination."""

    URL = "url"
    AUTHORIZATION = "authorization"
    HOST = "host"
    PORT = "port"
    SENDER = "from"
    RECIPIENTS = "to"
    USER = "user"
    PASSWORD = "password"  # noqa: S105 - the name of a field
    SOURCE = "source"


def fault_of_webhook(webhook: Webhook) -> Fault | None:
    """The first thing that is wrong with it."""
    try:
        url = read_url(webhook.url)
    except ValueError:
        return Fault.URL
    if url.scheme not in ("http", "https") or not url.host or len(webhook.url) > MAX_TEXT or url.user:
        return Fault.URL
    return None if _is_header(webhook.secret) else Fault.AUTHORIZATION


def fault_of_mail(mail: Mail) -> Fault | None:
    """The first thing that is wrong with it."""
    if not _HOST.fullmatch(mail.host):
        return Fault.HOST
    if not 1 <= mail.port <= 65_535:
        return Fault.PORT
    if not is_mail_address(mail.sender):
        return Fault.SENDER
    if not 1 <= len(mail.recipients) <= MAX_RECIPIENTS or not all(map(is_mail_address, mail.recipients)):
        return Fault.RECIPIENTS
    if len(mail.user) > MAX_TEXT or not mail.user.isprintable():
        return Fault.USER
    if len(mail.secret) > MAX_TEXT or not mail.secret.isprintable() or (mail.secret and not mail.user):
        return Fault.PASSWORD
    return None


def fault_of_source(source: str) -> Fault | None:
    """What is wrong with the `source` of CloudEvents, a URI."""
    return None if _SOURCE.fullmatch(source) else Fault.SOURCE


def is_mail_address(text: str) -> bool:
    """Whether mail can be sent to it as it is written: without a name, in ASCII."""
    return bool(_ADDRESS.fullmatch(text)) and not _NOT_IN_ADDRESS & {*text} and text.count("@") == 1


def _is_header(text: str) -> bool:
    return len(text) <= MAX_TEXT and text.isprintable() and text.isascii()
