"""Of what operators are warned, and where that goes. A rule that the file does not name stays as it is."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace

from alerting import changing
from nrc.setup.kinds.step import Action, Difference, Doing, Making, Step, differs, fields
from nrc.setup.model import AlertsPart, MailPart, WebhookPart
from schemas.alert import (
    PORTS,
    AlertSettings,
    Channel,
    Fault,
    Mail,
    Rule,
    RuleSetting,
    Webhook,
    fault_of_mail,
    fault_of_source,
    fault_of_webhook,
)

KIND = "alerts"
_WRONG: Mapping[Fault, tuple[str, str]] = {
    Fault.URL: ("url", "this must be http(s)://host[:port]/path, without a user"),
    Fault.AUTHORIZATION: ("authorization", "this must be printable ASCII"),
    Fault.HOST: ("host", "this must be the name or the address of a mail server"),
    Fault.PORT: ("port", "this must be from 1 to 65535"),
    Fault.SENDER: ("from", "this must be a mail address such as nrc@example.nl"),
    Fault.RECIPIENTS: ("to", "these must be mail addresses such as beheer@example.nl, from one to twenty"),
    Fault.USER: ("user", "this must be printable"),
    Fault.PASSWORD: ("password", "a password must be printable, and needs a user"),
    Fault.SOURCE: ("source", "this must be a URI, such as urn:nld:oin:00000001823288444000:systeem:nrc"),
}


def plan(making: Making) -> None:
    """The steps for all of it. --prune has a webhook or mail server forgotten that is not in the file."""
    part = making.checked.file.alerts
    if part is None:
        return
    now = making.known.alerts
    making.steps += [_rules(part, now)] if part.rules else []
    if part.source is not None and (fault := fault_of_source(part.source)):
        making.fault(("alerts", "source"), _WRONG[fault][1])
    elif (part.pause, part.again, part.source) != (None, None, None):
        making.steps.append(_pace(part, now))
    if part.webhook is not None:
        _plan_webhook(making, part.webhook, now.webhook)
    elif making.prune and now.webhook is not None:
        making.steps.append(_forget(Channel.WEBHOOK, now.webhook.server))
    if part.mail is not None:
        _plan_mail(making, part.mail, now.mail)
    elif making.prune and now.mail is not None:
        making.steps.append(_forget(Channel.MAIL, f"{now.mail.host}:{now.mail.port}"))


def _rules(part: AlertsPart, now: AlertSettings) -> Step:
    wanted: dict[Rule, RuleSetting] = {}
    told = []
    for rule, asked in part.rules.items():
        before = now.rule(rule)
        after = RuleSetting(
            before.on if asked.enabled is None else asked.enabled,
            before.after if asked.after is None else asked.after,
        )
        if after != before:
            wanted[rule] = after
            told.append(Difference(rule.value, _rule(after), _rule(before)))
    if not told:
        return Step(KIND, "rules", Action.SAME)

    async def do(doing: Doing) -> None:
        await changing.set_rules(doing.registry.alerts, doing.log, wanted)

    return Step(KIND, "rules", Action.CHANGE, told, do)


def _rule(setting: RuleSetting) -> str:
    return f"on, after {setting.after} s" if setting.on else "off"


def _pace(part: AlertsPart, now: AlertSettings) -> Step:
    told = fields(
        differs("pause", f"{now.pause} s", None if part.pause is None else f"{part.pause} s"),
        differs("again", _again(now.again), None if part.again is None else _again(part.again)),
        differs("source", now.source, part.source),
    )
    if not told:
        return Step(KIND, "pace", Action.SAME)

    async def do(doing: Doing) -> None:
        await changing.set_pace(
            doing.registry.alerts, doing.log, pause=part.pause, again=part.again, source=part.source
        )

    return Step(KIND, "pace", Action.CHANGE, told, do)


def _again(seconds: int) -> str:
    return f"{seconds} s" if seconds else "never"


def _plan_webhook(making: Making, part: WebhookPart, now: Webhook | None) -> None:
    before = now or Webhook("")
    wanted = Webhook(
        part.url, part.authorization or "", on=before.on if part.enabled is None else part.enabled
    )
    if fault := fault_of_webhook(wanted):
        _note(making, "webhook", fault)
        return
    kept = replace(making.known.alerts, webhook=now).with_webhook(wanted, keep=part.authorization is None)
    if kept.webhook == now:
        making.steps.append(Step(KIND, "webhook", Action.SAME))
        return

    async def do(doing: Doing) -> None:
        keep = part.authorization is None
        await changing.set_webhook(doing.registry.alerts, doing.log, wanted, keep=keep)

    # What follows the server in a URL may be as secret as a password.
    server = "" if now is None else now.server
    other_secret = kept.webhook is not None and not _same(kept.webhook.secret, before.secret)
    other_path = now is not None and server == wanted.server and now.url != wanted.url
    told = fields(
        differs("url", server, wanted.server),
        Difference("url", secret=True) if other_path else None,
        Difference("authorization", secret=True) if other_secret else None,
        differs("on", _yes(before.on), _yes(wanted.on)),
    )
    making.steps.append(Step(KIND, "webhook", Action.ADD if now is None else Action.CHANGE, told, do))


def _plan_mail(making: Making, part: MailPart, now: Mail | None) -> None:
    wanted = Mail(
        part.host,
        PORTS[part.security] if part.port is None else part.port,
        part.security,
        part.sender,
        tuple(part.recipients),
        user=part.user,
        secret=part.password or "",
        on=part.enabled if part.enabled is not None else now is None or now.on,
    )
    if fault := fault_of_mail(wanted):
        _note(making, "mail", fault)
        return
    kept = replace(making.known.alerts, mail=now).with_mail(wanted, keep=part.password is None)
    if kept.mail == now:
        making.steps.append(Step(KIND, "mail", Action.SAME))
        return

    async def do(doing: Doing) -> None:
        await changing.set_mail(doing.registry.alerts, doing.log, wanted, keep=part.password is None)

    before = {} if now is None else _mail(now)
    other = kept.mail is not None and not _same(kept.mail.secret, "" if now is None else now.secret)
    told = fields(
        *(differs(name, before.get(name, ""), text) for name, text in _mail(wanted).items()),
        Difference("password", secret=True) if other else None,
    )
    making.steps.append(Step(KIND, "mail", Action.ADD if now is None else Action.CHANGE, told, do))


def _mail(mail: Mail) -> dict[str, str]:
    return {
        "host": f"{mail.host}:{mail.port} ({mail.security})",
        "user": mail.user,
        "from": mail.sender,
        "to": ", ".join(mail.recipients),
        "on": _yes(mail.on),
    }


def _same(secret: str, other: str) -> bool:
    return hmac.compare_digest(secret.encode(), other.encode())


def _yes(on: bool) -> str:
    return "yes" if on else "no"


def _note(making: Making, channel: str, fault: Fault) -> None:
    field, reason = _WRONG[fault]
    making.fault(("alerts", channel, field), reason)


def _forget(channel: Channel, server: str) -> Step:
    async def do(doing: Doing) -> None:
        await changing.forget(doing.registry.alerts, doing.log, channel)

    return Step(KIND, channel.value, Action.REMOVE, (Difference("server", before=server),), do)
