"""`nrc alerts set …`: of what operators are warned, where messages go, and how often."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

import click

from nrc.cli.connecting import carry_out, opened_registry
from nrc.cli.operating import audit
from nrc.cli.terminal.confirmation import at_terminal
from nrc.cli.terminal.parameters import duration
from runtime.settings import load_settings
from schemas.alert import PORTS, Channel, Fault, Mail, Rule, Security, Webhook
from schemas.errors import UsageError

if TYPE_CHECKING:
    from operating.acts import Log
    from store.alerts import Alerts

_WRONG = {
    Fault.URL: "--url must be http(s)://host[:port]/path, without a user",
    Fault.AUTHORIZATION: "the value of Authorization must be printable ASCII",
    Fault.HOST: "--host must be the name or the address of a mail server",
    Fault.PORT: "--port must be from 1 to 65535",
    Fault.SENDER: "--from must be a mail address such as nrc@example.nl",
    Fault.RECIPIENTS: "--to must be a mail address such as beheer@example.nl, at most twenty of them",
    Fault.USER: "--user must be printable",
    Fault.PASSWORD: "a password must be printable, and needs a --user",
    Fault.SOURCE: "--source must be a URI, such as urn:nld:oin:00000001823288444000:systeem:nrc",
}


def _duration_or_none(text: str) -> int:
    """Seconds; `0` for none."""
    return 0 if text == "0" else duration(text)


def choice(of: type[StrEnum]) -> click.Choice[str]:
    """One of these, as it is written."""
    return click.Choice([each.value for each in of])


_secret = click.option(
    "--secret",
    "given",
    metavar="-",
    help="- reads it from standard input. Default: the one that there is, where the server stays the same.",
)
_on = click.option("--on/--off", "on", default=None, help="Send there, or keep it and send nothing there.")
_forget = click.option("--forget", is_flag=True, help="Send nothing there any more, and forget it.")


@click.group("set")
def set_() -> None:
    """Set rules, where messages go, and how often. What is not given stays as it is."""


@set_.command("rule")
@click.argument("rules", nargs=-1, required=True, type=choice(Rule), metavar="RULE...")
@click.option("--on/--off", "on", default=None, help="Whether to warn.")
@click.option(
    "--after",
    type=_duration_or_none,
    metavar="DURATION",
    help="How long it must last; of certificates, how long before their end. 15m, 1h, 14d; 0 is at once.",
)
def rule(rules: tuple[str, ...], on: bool | None, after: int | None) -> None:
    """Warn by a rule, or not, and from when on. `nrc alerts list` has the rules."""

    async def work(alerts: Alerts, log: Log) -> None:
        from alerting import changing

        before = await alerts.settings()
        changed = {}
        for name in map(Rule, rules):
            now = before.rule(name)
            changed[name] = replace(
                now, on=now.on if on is None else on, after=now.after if after is None else after
            )
        await changing.set_rules(alerts, log, changed)

    with_alerts(work)


@set_.command("pace")
@click.option("--pause", type=duration, metavar="DURATION", help="At least so long between two of a subject.")
@click.option("--again", metavar="DURATION|never", help="Repeat a message after so long, while it lasts.")
@click.option("--source", metavar="URI", help="The source of the CloudEvents to the webhook.")
def pace(pause: int | None, again: str | None, source: str | None) -> None:
    """Set how often messages go, and in whose name."""
    seconds = None if again is None else 0 if again == "never" else duration(again)

    async def work(alerts: Alerts, log: Log) -> None:
        from alerting import changing

        await changing.set_pace(alerts, log, pause=pause, again=seconds, source=source)

    with_alerts(work)


@set_.command("webhook")
@click.option("--url", metavar="URL", help="Where each message is POSTed as a CloudEvent.")
@_secret
@_on
@_forget
def webhook(url: str | None, given: str | None, on: bool | None, forget: bool) -> None:
    """Send messages to a webhook. --secret is the value of its Authorization header."""
    secret = _given(given)

    async def work(alerts: Alerts, log: Log) -> None:
        from alerting import changing

        if forget:
            await changing.forget(alerts, log, Channel.WEBHOOK)
            return
        before = (await alerts.settings()).webhook
        if before is None and url is None:
            raise UsageError("no webhook is set yet: give its --url")
        now = before or Webhook("")
        wanted = Webhook(url or now.url, secret or "", on=now.on if on is None else on)
        await changing.set_webhook(alerts, log, wanted, keep=secret is None)

    with_alerts(work)


@set_.command("mail")
@click.option("--host", metavar="HOST", help="The mail server.")
@click.option("--port", type=int, metavar="PORT", help="Default: 587 with starttls, 465 with tls, else 25.")
@click.option(
    "--security",
    type=choice(Security),
    help="How the connection is protected. Default: starttls.",
)
@click.option("--user", metavar="USER", help='To log in there; "" for none.')
@_secret
@click.option("--from", "sender", metavar="ADDRESS", help="From whom mail comes.")
@click.option("--to", "recipients", metavar="ADDRESS", multiple=True, help="Who gets it; may be repeated.")
@_on
@_forget
def mail(
    host: str | None,
    port: int | None,
    security: str | None,
    user: str | None,
    given: str | None,
    sender: str | None,
    recipients: tuple[str, ...],
    on: bool | None,
    forget: bool,
) -> None:
    """Send messages by mail. --secret is the password of --user."""
    secret = _given(given)

    async def work(alerts: Alerts, log: Log) -> None:
        from alerting import changing

        if forget:
            await changing.forget(alerts, log, Channel.MAIL)
            return
        before = (await alerts.settings()).mail
        if before is None and not (host and sender and recipients):
            raise UsageError("no mail server is set yet: give its --host, --from and --to")
        now = before or Mail("", 0, Security.STARTTLS, "", ())
        by = Security(security) if security else now.security
        wanted = Mail(
            host or now.host,
            port if port is not None else now.port if now.port and not security else PORTS[by],
            by,
            sender or now.sender,
            recipients or now.recipients,
            user=now.user if user is None else user,
            secret=secret or "",
            on=now.on if on is None else on,
        )
        await changing.set_mail(alerts, log, wanted, keep=secret is None)

    with_alerts(work)


def with_alerts(work: Callable[[Alerts, Log], Awaitable[None]]) -> None:
    """Do this with the alerts of the registry. Raises UsageError for what is wrong with a destination."""
    settings = load_settings()

    async def run() -> None:
        from alerting.changing import Wrong

        async with opened_registry(settings) as opened:
            log = audit.log_of(settings, registry=opened.registry)
            try:
                await work(opened.registry.alerts, log)
            except Wrong as error:
                raise UsageError(_WRONG[error.fault]) from None

    carry_out(run())


def _given(given: str | None) -> str | None:
    """The secret on standard input, where that was asked for: no list of processes shows it."""
    if given is None:
        return None
    if given != "-":
        raise UsageError("--secret: only - is taken, which reads the secret from standard input")
    if at_terminal():
        return str(click.prompt("secret", hide_input=True, err=True, default="", show_default=False))
    return sys.stdin.readline().rstrip("\r\n")
