"""What a message says: as a CloudEvent, by that standard's own library, and as a mail."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from alerting.channels.mail import mail_of
from alerting.channels.webhook import MEDIA_TYPE
from alerting.loop import notice_of
from alerting.notices import MOST_IN_A_MAIL, Notice, Phase, cloud_event, mail_subject, mail_text, text
from operating.status.attention import Code, Concern
from schemas.abonnement import State
from schemas.alert import Mail, Security
from tests.unit.cli.status.test_status import ABONNEMENT, AT, a_condition

SOURCE = "urn:nld:oin:00000001823288444000:systeem:nrc"
HELD = Concern(Code.HELD, of=a_condition(State.HELD, since=7200.0), seconds=7200.0)
NOTICE = notice_of(HELD, Phase.BEGAN, since=AT - 7200, now=AT, root="https://beheer.example.nl/nrc")
MAIL = Mail("mail.example.nl", 587, Security.STARTTLS, "nrc@example.nl", ("a@example.nl", "b@example.nl"))


def as_event(notice: Notice) -> CloudEvent:
    message = HTTPMessage({"Content-Type": MEDIA_TYPE}, cloud_event(notice, source=SOURCE))
    return from_structured(message, JSONFormat(), CloudEvent)


def test_what_is_wrong_about_whom_since_when_and_what_to_do() -> None:
    assert NOTICE.text.startswith(f"De callback van abonnement {ABONNEMENT} van test doet het al 2 uur niet")
    assert NOTICE.then.startswith("Spreek de afnemer.")
    assert NOTICE.command == f"nrc abonnement show {ABONNEMENT}"
    assert NOTICE.link == f"https://beheer.example.nl/nrc/console/abonnementen/{ABONNEMENT}/"
    assert (NOTICE.abonnement, NOTICE.application) == (str(ABONNEMENT), "test")


def test_without_the_address_of_a_console_there_is_no_link() -> None:
    assert notice_of(HELD, Phase.BEGAN, since=AT, now=AT, root="").link == ""


@pytest.mark.parametrize("phase", Phase)
def test_a_cloud_event_is_one_by_its_own_library_and_by_the_profile(phase: Phase) -> None:
    notice = replace(NOTICE, phase=phase, until=AT if phase is Phase.OVER else None)
    event = as_event(notice)
    assert event.get_specversion() == "1.0"
    assert event.get_id() == notice.id
    assert event.get_source() == SOURCE
    assert event.get_type() == f"nl.overheid.notificaties.waarschuwing-{phase.value}"
    assert event.get_subject() == f"held:{ABONNEMENT}"
    assert event.get_time() == datetime.fromtimestamp(AT, UTC)
    assert event.get_datacontenttype() == "application/json"
    body = json.loads(cloud_event(notice, source=SOURCE))
    assert all(name.islower() and name.isalnum() and len(name) <= 20 for name in body)
    data = body["data"]
    assert data["fase"] == phase.value
    assert data["regel"] == "held"
    assert data["abonnement"] == str(ABONNEMENT)
    assert data["sinds"] == "2025-10-09T06:53:20.000Z"
    assert ("tot" in data) == (phase is Phase.OVER)


def test_a_notice_is_kept_and_read_back() -> None:
    assert Notice.of(json.loads(json.dumps(NOTICE.facts()))) == NOTICE


def test_the_text_of_a_mail() -> None:
    told = text(NOTICE, now=AT)
    assert told.startswith("Een callback doet het niet (test)\n\nDe callback van abonnement")
    assert "Sinds:      09-10-2025 08:53" in told
    assert f"Abonnement: {ABONNEMENT} van test" in told
    assert f"Opdracht:   nrc abonnement show {ABONNEMENT}" in told
    assert "Console:    https://beheer.example.nl/nrc/console/abonnementen/" in told


def test_what_a_part_says_in_english_stands_apart_from_the_sentence() -> None:
    away = Concern(Code.GATEWAY_AWAY, urgent=True, said="[Errno 111] Connection\nrefused")
    notice = notice_of(away, Phase.BEGAN, since=AT, now=AT, root="")
    assert notice.text == "Er antwoordt geen gateway, dus er wordt niets aangenomen."
    assert text(notice, now=AT).endswith("\nTechnische melding: [Errno 111] Connection refused")
    data = json.loads(cloud_event(notice, source=SOURCE))["data"]
    assert data["technischeMelding"] == "[Errno 111] Connection\nrefused"
    assert "technischeMelding" not in json.loads(cloud_event(NOTICE, source=SOURCE))["data"]


def test_what_is_over_says_from_when_until_when_and_asks_nothing() -> None:
    told = text(replace(NOTICE, phase=Phase.OVER, until=AT), now=AT)
    assert told.startswith("Voorbij: Een callback doet het niet (test)")
    assert "Begonnen:   09-10-2025 08:53" in told
    assert "Voorbij:    09-10-2025 10:53" in told
    assert "Opdracht" not in told


def test_one_mail_has_all_of_them_the_urgent_first() -> None:
    urgent = replace(NOTICE, urgent=True, text="Dringend.")
    over = replace(NOTICE, phase=Phase.OVER, until=AT)
    assert mail_subject([NOTICE]) == "[NRC] Een callback doet het niet (test)"
    assert mail_subject([over, NOTICE, urgent]) == "[NRC] 2 waarschuwingen, 1 voorbij"
    told = mail_text([over, NOTICE, urgent], now=AT)
    assert told.index("Dringend.") < told.index("De callback") < told.index("Voorbij: ")
    many = mail_text([NOTICE] * (MOST_IN_A_MAIL + 7), now=AT)
    assert many.count("De callback van") == MOST_IN_A_MAIL
    assert "En nog 7:" in many


def test_a_hostile_name_adds_no_header_and_no_line() -> None:
    hostile = replace(NOTICE, application="x\r\nBcc: z@evil.example\r\n\r\nhallo\x1b[2J")
    message = mail_of(MAIL, [hostile], now=AT)
    assert "Bcc" not in message
    assert message["Subject"] == "[NRC] Een callback doet het niet (x Bcc: z@evil.example hallo [2J)"
    assert "\nBcc" not in text(hostile, now=AT)


def test_the_headers_of_a_mail() -> None:
    message = mail_of(MAIL, [NOTICE], now=AT)
    assert (message["From"], message["To"]) == ("nrc@example.nl", "a@example.nl, b@example.nl")
    assert message["Message-ID"] == f"<{NOTICE.id}@example.nl>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
