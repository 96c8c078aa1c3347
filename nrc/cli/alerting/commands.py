"""`nrc alerts`: the process that sends alerts, what it is set to, what it warned of, and a test of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from nrc.cli.alerting.setting import choice, set_, with_alerts
from nrc.cli.connecting import carry_out, opened_registry
from nrc.cli.processes import run
from nrc.cli.terminal.output import Column, age, as_json, json_option, moment, shown, table
from nrc.exits import Exit
from runtime.settings import load_settings
from schemas.alert import BEFORE_ITS_END, AlertSettings, Channel, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from operating.acts import Log
    from runtime.settings import Settings
    from store.alerts import Alert, AlertLease, Alerts, Sending


@click.group(invoke_without_command=True)
@click.pass_context
def alerts(context: click.Context) -> None:
    """Run what sends alerts: messages to operators about what needs attention.

    Several may run, one sends. It needs the registry and nothing else.
    """
    if context.invoked_subcommand is None:
        run("alerts")


alerts.add_command(set_)


@dataclass(frozen=True, slots=True)
class _Known:
    settings: AlertSettings
    lease: AlertLease | None
    sending: Mapping[Channel, Sending]
    alerts: Sequence[Alert]


@alerts.command("list")
@json_option
def list_(json_: bool) -> None:
    """List the rules, where messages go and whether they arrive, and of what was warned."""
    known = carry_out(_look(load_settings()))
    if json_:
        as_json(_facts(known))
        return
    settings = known.settings
    table(
        [Column("RULE"), Column("ON"), Column("AFTER")],
        ([rule.value, "yes" if settings.rule(rule).on else "no", _after(settings, rule)] for rule in Rule),
        empty="",
    )
    click.echo()
    table(
        [Column("BY"), Column("TO", least=20), Column("ON"), Column("STATE", least=20, folds=True)],
        (
            [channel.value, _to(settings, channel), _is_on(settings, channel), _state(known, channel)]
            for channel in Channel
        ),
        empty="",
    )
    click.echo()
    again = f"again after {age(settings.again)}" if settings.again else "never again"
    click.echo(f"Of one subject at most one message in {age(settings.pause)}; while it lasts {again}.")
    click.echo("A process sends." if known.lease else "No process sends: nrc alerts")
    click.echo()
    table(
        [Column("SINCE"), Column("RULE"), Column("SENT"), Column("WHAT", least=20, folds=True)],
        (
            [shown(each.since), each.rule.value, shown(each.told_at) if each.told_at else "", _what(each)]
            for each in known.alerts
        ),
        empty="nothing to warn of",
    )


@alerts.command()
@click.argument("channels", nargs=-1, type=choice(Channel), metavar="[webhook] [mail]")
@json_option
def test(channels: tuple[str, ...], json_: bool) -> None:
    """Send a message now, by what is set or by these. Exit code 1 when one does not arrive."""
    results: dict[str, str] = {}
    settings = load_settings()

    async def work(of: Alerts, log: Log) -> None:
        from alerting import changing

        now = await of.settings()
        is_set = [each for each in Channel if _to(now, each)]
        for channel in map(Channel, channels or is_set or [*Channel]):
            results[channel.value] = await changing.test(settings, of, log, channel)

    with_alerts(work)
    if json_:
        as_json({name: {"arrived": not error, "error": error or None} for name, error in results.items()})
    else:
        for name, error in results.items():
            click.echo(f"{name}: {error or 'arrived'}")
    if any(results.values()):
        sys.exit(Exit.FAILED)


async def _look(settings: Settings) -> _Known:
    async with opened_registry(settings) as opened:
        of = opened.registry.alerts
        lasting = [each for each in await of.every() if each.over is None]
        return _Known(await of.settings(), await of.lease(), await of.sending(), lasting)


def _after(settings: AlertSettings, rule: Rule) -> str:
    seconds = settings.rule(rule).after
    if rule in BEFORE_ITS_END:
        return f"{age(seconds)} before its end"
    return age(seconds) if seconds else "at once"


def _to(settings: AlertSettings, channel: Channel) -> str:
    if channel is Channel.WEBHOOK:
        return settings.webhook.server if settings.webhook else ""
    mail = settings.mail
    return f"{', '.join(mail.recipients)} by {mail.host}:{mail.port} ({mail.security})" if mail else ""


def _is_on(settings: AlertSettings, channel: Channel) -> str:
    if not _to(settings, channel):
        return "not set"
    return "yes" if channel in settings.channels else "no"


def _state(known: _Known, channel: Channel) -> str:
    sending = known.sending[channel]
    waiting = f"; {sending.waiting} waiting" if sending.waiting else ""
    if sending.failing_since is not None:
        since = shown(sending.failing_since)
        return f"fails since {since} ({sending.error}), next at {shown(sending.next_try)}{waiting}"
    return f"last sent {shown(sending.last_sent)}{waiting}" if sending.last_sent else waiting.lstrip("; ")


def _what(alert: Alert) -> str:
    return str((alert.notice or {}).get("text", alert.subject))


def _facts(known: _Known) -> dict[str, object]:
    settings = known.settings
    mail = settings.mail
    return {
        "rules": {
            rule.value: {"on": settings.rule(rule).on, "after": settings.rule(rule).after} for rule in Rule
        },
        "pause": settings.pause,
        "again": settings.again,
        "source": settings.source,
        "webhook": settings.webhook
        and {
            "server": settings.webhook.server,
            "on": settings.webhook.on,
            "authorization": bool(settings.webhook.secret),
        },
        "mail": mail
        and {
            "host": mail.host,
            "port": mail.port,
            "security": mail.security.value,
            "user": mail.user or None,
            "password": bool(mail.secret),
            "from": mail.sender,
            "to": mail.recipients,
            "on": mail.on,
        },
        "sends": known.lease.holder if known.lease else None,
        "sending": {
            channel.value: {
                "failingSince": _moment(sending.failing_since),
                "error": sending.error or None,
                "lastSent": _moment(sending.last_sent),
                "waiting": sending.waiting,
            }
            for channel, sending in known.sending.items()
        },
        "alerts": [
            {
                "subject": each.subject,
                "rule": each.rule.value,
                "since": moment(each.since),
                "sent": _moment(each.told_at),
                "text": _what(each) if each.notice else None,
            }
            for each in known.alerts
        ],
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else moment(at)
