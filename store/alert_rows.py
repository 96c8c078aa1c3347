"""The values of store/alerts.py as table rows and back, for every store. Knows the columns, and no SQL.

Notices and settings are JSON; secrets are encrypted in rows, and plain in the values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from uuid import uuid4

from schemas.alert import AlertSettings, Channel, Mail, Rule, RuleSetting, Security, Webhook
from store.alerts import Alert, Waiting
from store.rows import Row
from store.secrets import Vault, place

GENERAL = "general"
"""The name of the row of alert_setting with all but the destinations, which have their channel's name."""


def first_settings() -> Row:
    """The row of a registry in which nothing is set yet."""
    return _general(AlertSettings(source=f"urn:uuid:{uuid4()}"))


def settings_rows(settings: AlertSettings, vault: Vault) -> list[Row]:
    """All rows of alert_setting."""
    rows = [_general(settings)]
    for channel, destination in ((Channel.WEBHOOK, settings.webhook), (Channel.MAIL, settings.mail)):
        if destination is not None:
            value = asdict(destination)
            secret = vault.seal(value.pop("secret"), _place(channel.value))
            rows.append({"name": channel.value, "value": json.dumps(value), "secret": secret})
    return rows


def settings_of(rows: Iterable[Row], vault: Vault) -> AlertSettings:
    """The settings of all rows of alert_setting."""
    by_name = {row["name"]: row for row in rows}
    found = json.loads(by_name[GENERAL]["value"])
    rules = {Rule(name): RuleSetting(**each) for name, each in found.pop("rules").items() if name in [*Rule]}
    settings = AlertSettings(rules=rules, **found)
    if row := by_name.get(Channel.WEBHOOK):
        webhook = Webhook(**json.loads(row["value"]), secret=vault.unseal(row["secret"], _place(row["name"])))
        settings = replace(settings, webhook=webhook)
    if row := by_name.get(Channel.MAIL):
        value = json.loads(row["value"])
        value |= {"security": Security(value["security"]), "recipients": tuple(value["recipients"])}
        mail = Mail(**value, secret=vault.unseal(row["secret"], _place(row["name"])))
        settings = replace(settings, mail=mail)
    return settings


def alert_row(alert: Alert) -> Row:
    """The row of an alert."""
    notice = None if alert.notice is None else _text(alert.notice)
    return {**asdict(alert), "rule": alert.rule.value, "told": int(alert.told), "notice": notice}


def alert_of(row: Row) -> Alert:
    """The alert of a row."""
    notice = None if row["notice"] is None else json.loads(row["notice"])
    return Alert(**{**row, "rule": Rule(row["rule"]), "told": bool(row["told"]), "notice": notice})


def waiting_row(message: Waiting) -> Row:
    """The row of a message."""
    return {**asdict(message), "channel": message.channel.value, "notice": _text(message.notice)}


def waiting_of(row: Row) -> Waiting:
    """The message of a row."""
    return Waiting(Channel(row["channel"]), row["subject"], row["at"], json.loads(row["notice"]))


def _general(settings: AlertSettings) -> Row:
    value = {
        "source": settings.source,
        "rules": {rule.value: asdict(each) for rule, each in settings.rules.items()},
        "pause": settings.pause,
        "again": settings.again,
    }
    return {"name": GENERAL, "value": json.dumps(value), "secret": ""}


def _place(name: str) -> str:
    return place("alert_setting", "secret", name)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
