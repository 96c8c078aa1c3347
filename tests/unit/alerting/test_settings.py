"""What is wrong with a destination; which secret may go where; certificates and pauses that are due."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerting.certificates import AGAIN, AT_A_PASS, EVERY, due, servers_of
from alerting.sending import pause_after
from schemas.abonnement import State
from schemas.alert import (
    AlertSettings,
    Fault,
    Mail,
    Security,
    Webhook,
    fault_of_mail,
    fault_of_source,
    fault_of_webhook,
)
from store.alerts import Certificate
from tests.make import an_abonnement

WEBHOOK = Webhook("https://chat.example.nl/nrc", "Bearer x")
MAIL = Mail(
    "mail.example.nl",
    587,
    Security.STARTTLS,
    "nrc@example.nl",
    ("a@example.nl",),
    user="nrc",
    secret="geheim",
)


@pytest.mark.parametrize(
    ("webhook", "fault"),
    [
        (WEBHOOK, None),
        (replace(WEBHOOK, secret=""), None),
        *(
            (replace(WEBHOOK, url=url), Fault.URL)
            for url in ("", "x", "ftp://a/", "http://", "http://[::1]@")
        ),
        (replace(WEBHOOK, url="https://anna:geheim@example.nl/"), Fault.URL),
        (replace(WEBHOOK, url="https://example.nl/" + "x" * 1000), Fault.URL),
        *((replace(WEBHOOK, secret=secret), Fault.AUTHORIZATION) for secret in ("a\r\nb", "é", "x" * 1001)),
    ],
)
def test_what_is_wrong_with_a_webhook(webhook: Webhook, fault: Fault | None) -> None:
    assert fault_of_webhook(webhook) is fault


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        *(({"host": host}, Fault.HOST) for host in ("", "a b", "a\r\nb", "mail.example.nl/")),
        *(({"port": port}, Fault.PORT) for port in (0, -1, 65_536)),
        *(({"sender": each}, Fault.SENDER) for each in ("", "nrc", "a@b@c", "N <a@b.nl>", "a@b.nl\r\nX: y")),
        *(({"recipients": each}, Fault.RECIPIENTS) for each in ((), ("x",), ("a@b.nl",) * 21, ("a@b,c@d",))),
        ({"user": "a\nb"}, Fault.USER),
        ({"secret": "a\nb"}, Fault.PASSWORD),
        ({"user": ""}, Fault.PASSWORD),
    ],
)
def test_what_is_wrong_with_a_mail_server(changes: dict[str, object], fault: Fault | None) -> None:
    assert fault_of_mail(replace(MAIL, **changes)) is fault  # type: ignore[arg-type]


def test_what_is_wrong_with_a_source() -> None:
    assert fault_of_source("urn:nld:oin:00000001823288444000:systeem:nrc") is None
    for text in ("", "a b", "é", "x" * 301):
        assert fault_of_source(text) is Fault.SOURCE


def test_a_secret_is_kept_for_the_same_server_only() -> None:
    settings = AlertSettings("urn:test", webhook=WEBHOOK, mail=MAIL)

    def webhook(url: str) -> str:
        changed = settings.with_webhook(Webhook(url), keep=True).webhook
        assert changed is not None
        return changed.secret

    assert webhook("https://chat.example.nl/other") == "Bearer x"
    for url in ("http://chat.example.nl/nrc", "https://evil.example/", "https://chat.example.nl:8443/nrc"):
        assert webhook(url) == ""

    def mail(**changes: object) -> str:
        changed = settings.with_mail(replace(MAIL, secret="", **changes), keep=True).mail  # type: ignore[arg-type]
        assert changed is not None
        return changed.secret

    assert mail(recipients=("c@example.nl",), on=False) == "geheim"
    for changes in ({"host": "evil.example"}, {"port": 25}, {"security": Security.NONE}, {"user": "other"}):
        assert mail(**changes) == ""
    gone = settings.with_mail(replace(MAIL, secret=""), keep=False).mail
    assert gone is not None
    assert gone.secret == ""


def test_no_secret_stands_in_the_text_of_a_value() -> None:
    settings = AlertSettings("urn:test", webhook=WEBHOOK, mail=MAIL)
    assert "Bearer x" not in repr(settings)
    assert "geheim" not in repr(settings)


def test_the_servers_of_active_and_held_https_callbacks_each_once() -> None:
    urls = ("https://a.nl/1", "https://a.nl:443/2", "https://b.nl:8443/", "http://c.nl/", "")
    every = [an_abonnement(callback=url) for url in urls]
    every.append(replace(an_abonnement(callback="https://d.nl/"), state=State.SUSPENDED))
    every.append(replace(an_abonnement(callback="https://e.nl/"), state=State.HELD))
    assert servers_of(every) == {("a.nl", 443), ("b.nl", 8443), ("e.nl", 443)}


def test_a_certificate_is_looked_at_once_a_day_and_after_an_hour_when_there_was_none() -> None:
    seen, unseen, new = ("a.nl", 443), ("b.nl", 443), ("c.nl", 443)
    known = [Certificate(*seen, 1000.0, 9e9), Certificate(*unseen, 1000.0, None, "timeout: no")]
    servers = frozenset({seen, unseen, new})
    assert due(servers, known, now=1000.0) == [new]
    assert due(servers, known, now=1000.0 + AGAIN) == [new, unseen]
    assert due(servers, known, now=1000.0 + EVERY) == [new, unseen, seen]
    many = frozenset((f"{number}.nl", 443) for number in range(AT_A_PASS + 1))
    assert len(due(many, [], now=0.0)) == AT_A_PASS


def test_the_pause_after_failures_grows_to_a_quarter_of_an_hour() -> None:
    assert [pause_after(failures) for failures in (1, 2, 3, 7, 8, 10_000)] == [10, 20, 40, 640, 900, 900]
