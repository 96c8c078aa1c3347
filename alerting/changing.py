"""What operators change of alerts, and the test of a destination; each is noted (operating/acts.py)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from alerting.channels.faults import NotSent
from alerting.notices import Notice, Phase
from alerting.sending import Delivery
from deliverer.http.client import CallbackClient
from ledger.ids import new_id
from schemas.alert import (
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
from schemas.errors import NrcError, UsageError

if TYPE_CHECKING:
    from operating.acts import Log
    from runtime.settings import Settings
    from store.alerts import Alerts

TEST = "Dit is een test: zo komen waarschuwingen van deze notificatierouteringcomponent aan."


class Wrong(NrcError):
    """A destination is not kept, since something in it is wrong."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


async def set_rules(alerts: Alerts, log: Log, rules: Mapping[Rule, RuleSetting]) -> None:
    """Warn by these rules so; others stay as they are. Nothing is noted when all were so already."""
    before = await alerts.settings()
    if all(before.rule(rule) == each for rule, each in rules.items()):
        return
    await alerts.change_settings(lambda now: replace(now, rules={**now.rules, **rules}))
    told = {
        rule.value: f"on, after {each.after} s" if each.on else "off"
        for rule, each in rules.items()
        if before.rule(rule) != each
    }
    await log.record("alert rules changed", rules=told)


async def set_pace(
    alerts: Alerts,
    log: Log,
    *,
    pause: int | None = None,
    again: int | None = None,
    source: str | None = None,
) -> None:
    """How often messages go, in seconds, and the source of CloudEvents. None: as it is. Raises Wrong."""
    if source is not None and (fault := fault_of_source(source)):
        raise Wrong(fault)

    def changed(now: AlertSettings) -> AlertSettings:
        return replace(
            now,
            pause=now.pause if pause is None else pause,
            again=now.again if again is None else again,
            source=source or now.source,
        )

    before = await alerts.settings()
    if changed(before) != before:
        await alerts.change_settings(changed)
        await log.record("alert pace changed", pause=pause, again=again, source=source)


async def set_webhook(alerts: Alerts, log: Log, webhook: Webhook, *, keep: bool) -> None:
    """Send to this webhook. keep: with the secret that there is, to the same server. Raises Wrong."""
    if fault := fault_of_webhook(webhook):
        raise Wrong(fault)
    await alerts.change_settings(lambda now: now.with_webhook(webhook, keep=keep))
    await log.record("alert webhook changed", server=webhook.server, on=webhook.on)


async def set_mail(alerts: Alerts, log: Log, mail: Mail, *, keep: bool) -> None:
    """Send by this mail server. keep: with the password that there is, to the same server. Raises Wrong."""
    if fault := fault_of_mail(mail):
        raise Wrong(fault)
    await alerts.change_settings(lambda now: now.with_mail(mail, keep=keep))
    await log.record(
        "alert mail changed",
        server=f"{mail.host}:{mail.port}",
        security=mail.security.value,
        user=mail.user or None,
        sender=mail.sender,
        recipients=[*mail.recipients],
        on=mail.on,
    )


async def forget(alerts: Alerts, log: Log, channel: Channel) -> None:
    """Send nothing by this channel any more, and forget where to, with its secret."""
    await alerts.change_settings(lambda now: replace(now, **{channel.value: None}))  # type: ignore[arg-type]
    await log.record("alert destination removed", channel=channel.value)


async def test(settings: Settings, alerts: Alerts, log: Log, channel: Channel) -> str:
    """Send a message by this channel now: "" when it arrived, or why it did not, as `<class>: <detail>`.

    Also when it is off. Raises UsageError when nothing is set of it.
    """
    of = await alerts.settings()
    if (of.webhook if channel is Channel.WEBHOOK else of.mail) is None:
        raise UsageError(f"no {channel} is set: nrc alerts set {channel}")
    now = time.time()
    notice = Notice(
        id=str(new_id()),
        phase=Phase.TEST,
        rule="test",
        code="test",
        subject="test",
        at=now,
        since=now,
        text=TEST,
    )
    error = ""
    try:
        async with CallbackClient.of(settings) as client:
            await Delivery(settings, client).by(channel, of, notice)
    except NotSent as found:
        error = str(found)
    await log.record("alert tested", channel=channel.value, result=error or "arrived")
    return error
