"""Waarschuwingen: what is set there, what is shown of it, and a test of a destination."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Browser

from schemas.alert import DEFAULTS, AlertSettings, Channel, Mail, Rule, RuleSetting, Security, Webhook
from schemas.user import Role
from store.alerts import Alert, Certificate, Waiting
from store.registry import ActSearch
from tests.browser.chromium import shown
from tests.browser.inspecting import check_keyboard
from tests.callback_server import CallbackServer, status
from tests.integration.alerting.mail_server import PASSWORD, USER, mail_server
from tests.integration.console.conftest import Browser as Reader
from tests.integration.console.conftest import Served
from tests.integration.console.windows import check_page, logged_in_window
from tests.make import an_abonnement

PATH = "waarschuwingen/"
SECRET = "Bearer van de webhook"
MAIL = Mail(
    *("mail.example.nl", 587, Security.STARTTLS, "nrc@example.nl", ("a@example.nl",)),
    user=USER,
    secret=PASSWORD,
)


@pytest.fixture
async def reader(served: Served) -> AsyncIterator[Reader]:
    """A browser of an admin; afterwards nothing is set."""
    async with served.browser(Role.ADMIN) as browser:
        yield browser
    await served.registry.alerts.change_settings(lambda now: AlertSettings(now.source))


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


async def last_act(served: Served) -> str:
    (act,) = await served.registry.acts(ActSearch(what="alert"), limit=1)
    return f"{act.user} {act.act} {json.dumps(dict(act.facts))}"


def rules_form(settings: AlertSettings, **changes: str) -> dict[str, Any]:
    """What a browser sends of the form of the rules."""
    fields: dict[str, Any] = {f"na-{rule}": f"{settings.rule(rule).after}s" for rule in Rule}
    fields = {name: "0" if value == "0s" else value for name, value in fields.items()}
    return {"regels": [rule.value for rule in Rule if settings.rule(rule).on], **fields, **changes}


async def test_who_may_not_change_it_sees_it_without_secrets(served: Served, reader: Reader) -> None:
    await served.registry.alerts.change_settings(
        lambda now: replace(now, webhook=Webhook("https://chat.example.nl/nrc", SECRET), mail=MAIL)
    )
    async with served.browser(Role.BEHEERDER) as browser:
        page = await browser.get(PATH)
        text = text_of(page.text)
        assert "https://chat.example.nl/…" in text
        assert "https://chat.example.nl/nrc" not in page.text
        assert "a@example.nl" in text
        assert "Een callback doet het niet ja 15m" in text
        assert "Er werkt nu geen proces dat waarschuwingen stuurt" in text
        assert "Er wordt nu niemand gewaarschuwd" not in text
        await served.registry.alerts.change_settings(lambda now: AlertSettings(now.source))
        assert "Er wordt nu niemand gewaarschuwd" in text_of((await browser.get(PATH)).text)
        await served.registry.alerts.change_settings(
            lambda now: replace(now, webhook=Webhook("https://chat.example.nl/nrc", SECRET), mail=MAIL)
        )
        assert 'name="doen" value="' not in page.text.replace('value="uitloggen"', "")
        refused = await browser.post(PATH, {"token": page.text, "doen": "testen", "langs": "webhook"})
        assert refused.status in (400, 403)
    for secret in (SECRET, PASSWORD):
        assert secret not in page.text
        assert secret not in (await reader.get(PATH)).text


async def test_rules_are_set_and_noted(served: Served, reader: Reader) -> None:
    settings = await served.registry.alerts.settings()
    fields = rules_form(settings, **{"na-held": "1h30m"})
    fields["regels"] = ["held", "certificate"]
    page = await reader.act(PATH, "regels", **fields)
    assert "De regels zijn opgeslagen." in page.text
    now = await served.registry.alerts.settings()
    assert now.rule(Rule.HELD) == RuleSetting(True, 5400)
    assert now.rule(Rule.CERTIFICATE) == DEFAULTS[Rule.CERTIFICATE]
    assert not now.rule(Rule.DISK).on
    act = await last_act(served)
    assert act.startswith(
        'admin alert rules changed {"rules": {"held": "on, after 5400 s", "suspended": "off"'
    )
    page = await reader.act(PATH, "regels", **rules_form(settings, **{"na-held": "een uur"}))
    assert page.status == 400
    assert "Vul bij 'Een callback doet het niet' een duur in" in html.unescape(page.text)
    assert (await served.registry.alerts.settings()) == now


async def test_the_pace_is_set(served: Served, reader: Reader) -> None:
    page = await reader.act(PATH, "tempo", pauze="30m", herhaal="0", bron="urn:nld:oin:1:systeem:nrc")
    assert "Het tempo is opgeslagen." in page.text
    now = await served.registry.alerts.settings()
    assert (now.pause, now.again, now.source) == (1800, 0, "urn:nld:oin:1:systeem:nrc")
    page = await reader.act(PATH, "tempo", pauze="30m", herhaal="0", bron="geen uri")
    assert (page.status, "De bron is een URI" in page.text) == (400, True)


async def test_a_webhook_is_set_tested_and_forgotten(served: Served, reader: Reader) -> None:
    async with CallbackServer() as webhook:
        url = webhook.url("/nrc")
        page = await reader.act(PATH, "webhook", url=url, authorization=SECRET, aan="ja")
        assert "De webhook is opgeslagen." in page.text
        page = await reader.act(PATH, "testen", langs="webhook")
        assert "De webhook is aangekomen" in page.text
        (got,) = webhook.received
        assert got.header("Authorization") == SECRET
        assert json.loads(got.body)["type"] == "nl.overheid.notificaties.waarschuwing-test"
        act = await last_act(served)
        assert act.startswith('admin alert tested {"channel": "webhook", "result": "arrived"')

        # The secret stays with the same server, and does not go to another.
        await reader.act(PATH, "webhook", url=webhook.url("/other"), authorization="")
        now = (await served.registry.alerts.settings()).webhook
        assert now == Webhook(webhook.url("/other"), SECRET, on=False)
        await reader.act(PATH, "webhook", url="https://evil.example/", authorization="", aan="ja")
        now = (await served.registry.alerts.settings()).webhook
        assert now == Webhook("https://evil.example/")

        webhook.script("/broken", status(500))
        await reader.act(PATH, "webhook", url=webhook.url("/broken"), aan="ja")
        page = await reader.act(PATH, "testen", langs="webhook")
        assert page.status == 400
        assert "De webhook kwam niet aan: status 500." in page.text
    await reader.act(PATH, "webhook", url="")
    assert (await served.registry.alerts.settings()).webhook is None
    page = await reader.act(PATH, "testen", langs="webhook")
    assert (page.status, "De webhook is nog niet ingesteld." in page.text) == (400, True)


async def test_mail_is_set_and_tested(served: Served, reader: Reader) -> None:
    async with mail_server() as mail:
        fields = {
            "server": "127.0.0.1",
            "poort": str(mail.port),
            "beveiliging": "none",
            "afzender": "nrc@example.nl",
            "ontvangers": "a@example.nl, b@example.nl",
            "aan": "ja",
        }
        page = await reader.act(PATH, "mail", **fields)
        assert "De mail is opgeslagen." in page.text
        page = await reader.act(PATH, "testen", langs="mail")
        assert "De mail is aangekomen" in page.text
        assert mail.got[0]["Subject"] == "[NRC] Test van de waarschuwingen"
        assert mail.envelopes[0].rcpt_tos == ["a@example.nl", "b@example.nl"]

        mail.answer = "554 not from you"
        page = await reader.act(PATH, "testen", langs="mail")
        assert (page.status, "De mail kwam niet aan: status 554." in page.text) == (400, True)
        for name, value, said in (
            ("poort", "x", "Vul een poort in"),
            ("afzender", "nrc", "Vul bij Afzender"),
            ("ontvangers", "", "Vul bij Ontvangers"),
            ("wachtwoord", "zonder gebruiker", "en een gebruikersnaam erbij"),
            ("beveiliging", "x", "Kies hoe de verbinding"),
            ("server", "a b", "Vul de naam of het adres van de mailserver in"),
        ):
            page = await reader.act(PATH, "mail", **{**fields, name: value})
            assert (page.status, said in page.text) == (400, True), name
    await reader.act(PATH, "mail", server="")
    assert (await served.registry.alerts.settings()).mail is None


async def test_a_mail_server_that_is_not_there(served: Served, reader: Reader) -> None:
    mail = replace(MAIL, host="127.0.0.1", port=9)
    await served.registry.alerts.change_settings(lambda now: replace(now, mail=mail))
    page = await reader.act(PATH, "testen", langs="mail")
    assert (page.status, "De mail kwam niet aan: verbinding geweigerd." in page.text) == (400, True)


@pytest.fixture
async def lasting(served: Served) -> AsyncIterator[str]:
    """What is warned of, a destination that fails, and a certificate; the abonnement that has it."""
    alerts = served.registry.alerts
    made = await served.registry.add_abonnement(
        replace(an_abonnement(("zaken", {}), callback="https://afnemer.example.nl/nrc"), client_id="zac")
    )
    notice = {"text": "De callback <b>van</b> iets doet het niet.", "abonnement": str(made.uuid)}
    assert await alerts.take_lease("test", seconds=600)
    told = Alert("held:x", Rule.HELD, "held", 1.7e9, told=True, told_at=1.7e9 + 900, notice=notice)
    await alerts.change_settings(
        lambda now: replace(now, webhook=Webhook("https://chat.example.nl/" + "x" * 200, SECRET), mail=MAIL)
    )
    message = Waiting(Channel.WEBHOOK, "held:x", 1.0, notice)
    await alerts.note("test", put=[told], gone=[], messages=[message])
    await alerts.failed("test", message.channel, error="timeout: no", at=1.0, next_try=4e9)
    await alerts.note_certificates(
        [Certificate("afnemer.example.nl", 443, 1_700_000_000.0, 1_700_100_000.0, "tls_error: expired")],
        keep=frozenset({("afnemer.example.nl", 443)}),
    )
    yield str(made.uuid)
    await alerts.note("test", put=[], gone=["held:x"], messages=[])
    await alerts.sent("test", [message], at=2.0)
    await alerts.note_certificates([], keep=frozenset())
    await alerts.change_settings(lambda now: AlertSettings(now.source))
    await alerts.release_lease("test")
    await served.registry.remove_abonnement(made.uuid)


async def test_what_there_is_and_whether_it_arrives(served: Served, reader: Reader, lasting: str) -> None:
    page = await reader.get(PATH)
    text = text_of(page.text)
    assert "De callback <b>van</b> iets doet het niet." in html.unescape(page.text)
    assert "<b>van</b>" not in page.text
    assert "mislukt Er komt niets aan: geen antwoord binnen de tijd." in text
    assert "Er wacht 1." in text
    assert f'href="../abonnementen/{lasting}/"' in page.text
    assert "geen proces" not in text
    page = await reader.get(f"abonnementen/{lasting}/")
    told = "Certificaat verliep 16-11-2023 03:00 (geen beveiligde verbinding (TLS)); bekeken"
    assert told in text_of(page.text)
    text = text_of((await reader.get()).text)
    assert "Het certificaat van afnemer.example.nl:443, de callback van abonnement" in text
    assert "Waarschuwingen per webhook komen al" in text


async def test_the_page_with_all_of_it_in_a_browser(browser: Browser, served: Served, lasting: str) -> None:
    async with logged_in_window(browser, served, Role.ADMIN) as window:
        page, said = await shown(window, PATH)
        await check_page(page, said, "waarschuwingen-vol")
        for each in await page.query_selector_all("main summary"):
            await each.click()
        await check_page(page, said, "waarschuwingen-open")
        await check_keyboard(page)
