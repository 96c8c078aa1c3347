"""`nrc alerts …` on a real registry file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from schemas.alert import AlertSettings, Mail, Rule, RuleSetting, Security, Webhook
from store.opening import open_registry
from store.registry import ActSearch
from tests.command import make_registry, nrc

URL = "https://chat.example.nl/nrc"


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> None:
    make_registry(tmp_path)


def settings(folder: Path) -> AlertSettings:
    async def look() -> AlertSettings:
        async with open_registry(folder / "registry.db") as opened:
            return await opened.alerts.settings()

    return asyncio.run(look())


def acts(folder: Path) -> list[str]:
    async def look() -> list[str]:
        async with open_registry(folder / "registry.db") as opened:
            found = await opened.acts(ActSearch(), limit=20)
            return [f"{each.act} {json.dumps(dict(each.facts))}" for each in reversed(found)]

    return asyncio.run(look())


def test_a_rule_is_set_and_what_is_not_given_stays(tmp_path: Path) -> None:
    assert nrc(tmp_path, "alerts", "set", "rule", "held", "waits-long", "--after", "2h").code == 0
    assert nrc(tmp_path, "alerts", "set", "rule", "held", "--off").code == 0
    assert nrc(tmp_path, "alerts", "set", "rule", "held", "--off").code == 0
    now = settings(tmp_path)
    assert now.rule(Rule.HELD) == RuleSetting(False, 7200)
    assert now.rule(Rule.WAITS_LONG) == RuleSetting(True, 7200)
    assert now.rule(Rule.DISK) == RuleSetting()
    assert acts(tmp_path) == [
        'alert rules changed {"rules": {"held": "on, after 7200 s", "waits-long": "on, after 7200 s"}}',
        'alert rules changed {"rules": {"held": "off"}}',
    ]


def test_the_pace_is_set(tmp_path: Path) -> None:
    assert nrc(tmp_path, "alerts", "set", "pace", "--pause", "30m", "--again", "never").code == 0
    assert nrc(tmp_path, "alerts", "set", "pace", "--source", "urn:nld:oin:1").code == 0
    now = settings(tmp_path)
    assert (now.pause, now.again, now.source) == (1800, 0, "urn:nld:oin:1")
    ran = nrc(tmp_path, "alerts", "set", "pace", "--source", "no uri")
    assert (ran.code, "--source must be a URI" in ran.err) == (2, True)


def test_a_webhook_is_set_with_a_secret_that_is_never_shown(tmp_path: Path) -> None:
    set_ = ("alerts", "set", "webhook")
    ran = nrc(tmp_path, *set_, "--url", URL, "--secret", "-", stdin=b"Bearer geheim\n")
    assert ran.code == 0, ran.err
    assert settings(tmp_path).webhook == Webhook(URL, "Bearer geheim")
    assert nrc(tmp_path, *set_, "--off").code == 0
    assert settings(tmp_path).webhook == Webhook(URL, "Bearer geheim", on=False)
    assert nrc(tmp_path, *set_, "--url", f"{URL}/other", "--on").code == 0
    assert settings(tmp_path).webhook == Webhook(f"{URL}/other", "Bearer geheim")
    assert nrc(tmp_path, *set_, "--url", "https://evil.example/").code == 0
    assert settings(tmp_path).webhook == Webhook("https://evil.example/")
    assert "geheim" not in "".join(acts(tmp_path))
    assert nrc(tmp_path, *set_, "--forget").code == 0
    assert settings(tmp_path).webhook is None


def test_a_mail_server_is_set(tmp_path: Path) -> None:
    set_ = ("alerts", "set", "mail")
    given = ("--host", "mail.example.nl", "--from", "nrc@example.nl", "--to", "a@example.nl")
    assert nrc(tmp_path, *set_, *given, "--to", "b@example.nl").code == 0
    mail = Mail("mail.example.nl", 587, Security.STARTTLS, "nrc@example.nl", ("a@example.nl", "b@example.nl"))
    assert settings(tmp_path).mail == mail
    login = ("--user", "nrc", "--secret", "-")
    assert nrc(tmp_path, *set_, "--security", "tls", *login, stdin=b"geheim\n").code == 0
    now = settings(tmp_path).mail
    assert now is not None
    assert (now.port, now.security, now.user, now.secret) == (465, Security.TLS, "nrc", "geheim")
    for command in (("alerts", "list"), ("alerts", "list", "--json"), ("audit-trail", "--json")):
        ran = nrc(tmp_path, *command)
        assert ran.code == 0, ran.err
        assert "geheim" not in ran.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("webhook",), "no webhook is set yet: give its --url"),
        (("webhook", "--url", "ftp://x"), "--url must be http(s)"),
        (("webhook", "--url", URL, "--secret", "typed"), "only - is taken"),
        (("mail", "--host", "x"), "no mail server is set yet"),
        (("mail", "--host", "x", "--from", "no", "--to", "a@b.nl"), "--from must be a mail address"),
        (("mail", "--host", "x", "--from", "a@b.nl", "--to", "no"), "--to must be a mail address"),
        (("mail", "--host", "x", "--from", "a@b.nl", "--to", "a@b.nl", "--port", "0"), "--port must be"),
        (("rule", "unknown", "--on"), "'unknown' is not one of"),
        (("rule", "held", "--after", "soon"), "is no duration"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_changed(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    before = settings(tmp_path)
    ran = nrc(tmp_path, "alerts", "set", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert settings(tmp_path) == before
    assert acts(tmp_path) == []


def test_the_list_of_a_new_system(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "alerts", "list")
    assert ran.code == 0
    assert "No process sends: nrc alerts" in ran.out
    assert "held                yes  15m" in ran.out
    assert "certificate         yes  14d before its end" in ran.out
    facts = nrc(tmp_path, "alerts", "list", "--json").json()
    assert facts["webhook"] is facts["mail"] is facts["sends"] is None
    assert facts["rules"]["waits-long"] == {"on": True, "after": 3600}


def test_a_test_without_a_destination_and_one_that_does_not_arrive(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "alerts", "test")
    assert ran.code == 2
    assert "no webhook is set: nrc alerts set webhook" in ran.err
    assert nrc(tmp_path, "alerts", "set", "webhook", "--url", "http://127.0.0.1:9/").code == 0
    ran = nrc(tmp_path, "alerts", "test", "--json")
    assert ran.code == 1
    assert ran.json()["webhook"]["error"].startswith("address_refused: 127.0.0.1 is refused by the rule")
    assert acts(tmp_path)[-1].startswith('alert tested {"channel": "webhook", "result": "address_refused')


def test_status_tells_that_no_process_sends(tmp_path: Path) -> None:
    assert nrc(tmp_path, "alerts", "set", "webhook", "--url", URL).code == 0
    found = {each["code"]: each for each in nrc(tmp_path, "status", "--json").json()["attention"]}
    assert found["no_alerts"]["next"] == "nrc alerts"


def test_at_once_is_0_and_of_a_webhook_only_the_server_is_shown(tmp_path: Path) -> None:
    assert nrc(tmp_path, "alerts", "set", "rule", "held", "--after", "0").code == 0
    assert settings(tmp_path).rule(Rule.HELD) == RuleSetting(True, 0)
    assert nrc(tmp_path, "alerts", "set", "webhook", "--url", f"{URL}?token=geheim").code == 0
    for command in (("alerts", "list"), ("alerts", "list", "--json"), ("audit-trail", "--json")):
        ran = nrc(tmp_path, *command)
        assert "geheim" not in ran.out
        assert "https://chat.example.nl/" in ran.out
