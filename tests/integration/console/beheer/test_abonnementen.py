"""Abonnementen in the console: what is told of them, and each act, over HTTP."""

from __future__ import annotations

import html
import re
from uuid import UUID, uuid4

import pytest

from console.pages.abonnementen.acting import ACTIONS
from ledger.opening import ledger_of
from ledger.operating.replays import Progress
from ledger.values import State as Delivery
from schemas.abonnement import Abonnement, State
from schemas.callback_auth import new_signing_secret
from schemas.user import Role
from store.registry import ActSearch
from tests.callback_server import CallbackServer, Received, status
from tests.contract.api import Callback
from tests.integration.console.beheer.filling import AUTH, HOSTILE, Filled, an_entry, fill, outcome
from tests.integration.console.conftest import Served
from tests.make import an_abonnement


@pytest.fixture(scope="module")
async def filled(served: Served) -> Filled:
    return await fill(served)


def text_of(page: str) -> str:
    """What one reads on a page."""
    body = page.partition("<main")[2].partition("</main>")[0]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


async def latest(served: Served, uuid: UUID) -> Abonnement:
    changes = await served.registry.changes_since(0)
    return next(each for each in changes.abonnementen if each.uuid == uuid)


async def acts(served: Served, uuid: UUID) -> list[tuple[str, str, str]]:
    """What was done to it, by whom, from which page; the newest first."""
    found = await served.registry.acts(ActSearch(abonnement=str(uuid)), limit=100)
    return [(act.act, act.user, act.command) for act in found]


async def one_more(served: Served, **changes: str) -> Abonnement:
    """An abonnement for a test of its own."""
    return await served.registry.add_abonnement(an_abonnement(("zaken", {}), **changes))


async def test_what_needs_attention_comes_first(served: Served, filled: Filled) -> None:
    async with served.browser(Role.LEZER) as browser:
        page = await browser.get("abonnementen/")
        order = re.findall(r'href="\.\./abonnementen/([0-9a-f-]{36})/"', page.text)
        wanted = [filled.suspended, filled.held, filled.failing, filled.hostile, filled.well]
        assert [each for each in order if UUID(each) in {one.uuid for one in wanted}] == [
            str(each.uuid) for each in wanted
        ]
        text = text_of(page.text)
        assert "3 van de 5 abonnementen vragen aandacht en staan bovenaan." in text
        assert "vastgehouden sinds" in text
        assert "30, de oudste 10 min oud" in text
        assert "3 tussen pogingen, volgende" in text
        assert "2 onbestelbaar" in text
        assert "83,3 % gelukt 25 van 30" in text
        assert "100 % gelukt 30 van 30" in text
        assert "verbinding geweigerd" in text


async def test_what_failed_and_was_mended_since_needs_no_attention(served: Served, filled: Filled) -> None:
    mended = await one_more(served, callback="https://mended.example.nl/")
    entry = an_entry(mended.uuid, ago=50)
    async with ledger_of(served.settings) as ledger:
        await ledger.write([entry, outcome(entry, mended.uuid, Delivery.RETRYING, failed=True)])
        async with served.browser(Role.LEZER) as browser:
            text = text_of((await browser.get("abonnementen/")).text)
            assert "3 van de 6 abonnementen vragen aandacht" in text
            assert "Bij 1 ander mislukte een poging; die wordt vanzelf opnieuw gedaan." in text
            await ledger.write([outcome(entry, mended.uuid, Delivery.DELIVERED, attempts=2)])
            page = await browser.get("abonnementen/?zoek=mended.example")
            assert "3 van de 6 abonnementen vragen aandacht" in text_of(page.text)
            assert "mislukte een poging" not in text_of(page.text)
            assert "50 % gelukt 1 van 2" in text_of(page.text)
            page = await browser.get(f"abonnementen/{mended.uuid}/")
            assert re.search(r'alert--ok">\W*<div[^>]*><p[^>]*>Het abonnement is actief: wat', page.text)
    await served.registry.remove_abonnement(mended.uuid)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?zoek=ARCHIEF", {"failing"}),
        ("?zoek=zaakafhandel", {"well", "suspended"}),
        ("?toestand=held", {"held"}),
        ("?toestand=aandacht", {"held", "failing", "suspended"}),
        ("?toestand=active&zoek=zac", {"well"}),
        ("?kanaal=documenten", {"hostile"}),
        ("?kanaal=onbekend", set()),
        ("?zoek=%00%ff&toestand=x&blad=-1", set()),
        ("?blad=99999999999", {"held", "failing", "suspended", "hostile", "well"}),
    ],
)
async def test_a_search(served: Served, filled: Filled, query: str, found: set[str]) -> None:
    async with served.browser(Role.LEZER) as browser:
        page = await browser.get(f"abonnementen/{query}")
        assert page.status == 200
        names = ("well", "failing", "held", "suspended", "hostile")
        shown = {name for name in names if f"/{getattr(filled, name).uuid}/" in page.text}
        assert shown == found


async def test_one_tells_its_state_and_never_its_auth(served: Served, filled: Filled) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        for name, told in (
            ("well", "Het abonnement is actief: wat ervoor komt, wordt meteen afgeleverd."),
            ("failing", "actief, maar 2 notificaties zijn onbestelbaar: daarvoor komt vanzelf geen poging"),
            ("failing", "Wat verder mislukte, wordt vanzelf opnieuw geprobeerd."),
            ("held", "niets aan (verbinding geweigerd). Er wordt niets afgeleverd; alles blijft bewaard."),
            ("suspended", "stil (de callback antwoordde met status 410). Er wordt niets afgeleverd"),
            ("hostile", f"stil ({HOSTILE})"),
        ):
            abonnement: Abonnement = getattr(filled, name)
            page = await browser.get(f"abonnementen/{abonnement.uuid}/")
            assert told in text_of(page.text), name
            assert abonnement.callback_url in text_of(page.text)
            assert AUTH not in page.text
            assert abonnement.auth not in page.text
            assert "<script" not in page.text.replace(HOSTILE, "")
            assert "<img" not in page.text


async def test_a_reader_sees_no_acts_and_may_do_none(served: Served, filled: Filled) -> None:
    path = f"abonnementen/{filled.well.uuid}/"
    async with served.browser(Role.LEZER) as browser, served.browser(Role.BEHEERDER) as other:
        assert "stilleggen" not in (await browser.get(path)).text
        token = (await browser.get("account/")).token
        foreign = (await other.get("account/")).token
        for name in ACTIONS:
            assert (await browser.get(f"{path}{name}/")).status == 403
            fields = {"token": token, "doen": name, "waarom": "x", "aan": "geo"}
            assert (await browser.post(f"{path}{name}/", fields)).status == 403
            assert (await other.get(f"{path}{name}/")).status == 200
            for wrong in ({**fields, "token": ""}, fields):
                refused = await other.post(f"{path}{name}/", wrong)
                assert (refused.status, "verlopen" in refused.text) == (400, True)
            assert (await other.post(path, {**fields, "token": foreign})).status == 405
    assert await latest(served, filled.well.uuid) == filled.well
    assert await acts(served, filled.well.uuid) == []


async def test_suspend_and_resume(served: Served, filled: Filled) -> None:
    abonnement = await one_more(served)
    path = f"abonnementen/{abonnement.uuid}/"
    async with served.browser(Role.BEHEERDER) as browser:
        asked = await browser.act(f"{path}stilleggen/", "stilleggen", waarom=" ")
        assert (asked.status, "Vul in waarom" in asked.text) == (400, True)
        done = await browser.act(f"{path}stilleggen/", "stilleggen", waarom=HOSTILE)
        assert done.url == f"{served.root}{path}"
        assert "Het abonnement ligt stil. Wat ervoor komt, blijft bewaard." in text_of(done.text)
        assert f"({HOSTILE})" in text_of(done.text)
        now = await latest(served, abonnement.uuid)
        assert (now.state, now.state_reason) == (State.SUSPENDED, HOSTILE)
        again = await browser.get(f"{path}stilleggen/")
        assert "Dat kan niet meer in de toestand" in again.text
        done = await browser.act(f"{path}hervatten/", "hervatten")
        assert "wordt meteen afgeleverd" in text_of(done.text)
        assert (await latest(served, abonnement.uuid)).state is State.ACTIVE
    assert await acts(served, abonnement.uuid) == [
        ("abonnement resumed", "beheerder", "console abonnement-handeling/hervatten"),
        ("abonnement suspended", "beheerder", "console abonnement-handeling/stilleggen"),
    ]


async def test_probe(served: Served, filled: Filled) -> None:
    path = f"abonnementen/{filled.held.uuid}/proberen/"
    async with served.browser(Role.BEHEERDER) as browser:
        done = await browser.act(path, "proberen")
        assert "De callback wordt nu geprobeerd" in text_of(done.text)
        probed = await latest(served, filled.held.uuid)
        assert probed.hold is not None
        assert filled.held.hold is None or probed.hold.next_probe < filled.held.hold.next_probe
        assert "wordt zo dadelijk weer geprobeerd" in text_of(done.text)
        other = await one_more(served)
        token = done.token
        refused = await browser.post(
            f"abonnementen/{other.uuid}/proberen/", {"token": token, "doen": "proberen"}
        )
        assert (refused.status, "alleen geprobeerd zolang" in refused.text) == (400, True)
    assert (await acts(served, filled.held.uuid))[0][0] == "probe asked for"


async def test_a_test_message_tells_what_the_callback_answers(served: Served, filled: Filled) -> None:
    async with CallbackServer() as callback, served.browser(Role.BEHEERDER) as browser:
        callback.script("/good", status(204))
        callback.script("/bad", status(500, body=b"<b>secret of theirs</b>"))
        for where, told in (
            ("/good", "De callback neemt berichten aan. De callback antwoordde met status 204"),
            ("/bad", "De callback antwoordde met status 500"),
        ):
            abonnement = await one_more(served, callback=callback.url(where))
            page = await browser.act(f"abonnementen/{abonnement.uuid}/testbericht/", "testbericht")
            assert page.status == 200
            assert told in text_of(page.text)
            assert "secret of theirs" not in page.text
            assert await acts(served, abonnement.uuid) == [
                ("test message sent", "beheerder", "console abonnement-handeling/testbericht")
            ]
        assert [each.header("Authorization") for each in callback.received] == ["Token test"] * 2
        gone = await one_more(served, callback="http://127.0.0.1:9/")
        page = await browser.act(f"abonnementen/{gone.uuid}/testbericht/", "testbericht")
        assert "De callback gaf geen antwoord: de verbinding werd geweigerd." in text_of(page.text)


async def test_its_replays_stand_there_with_who_asked_for_them(served: Served, filled: Filled) -> None:
    async with served.browser(Role.LEZER) as browser:
        text = text_of((await browser.get(f"abonnementen/{filled.well.uuid}/")).text)
    assert f"Herhaling {filled.replays[Progress.DONE]} klaar 1.234 de afnemer zelf, via de API" in text
    assert "staat niet in het logboek maar in de log van de gateways" in text


async def test_another_owner(served: Served, filled: Filled) -> None:
    abonnement = await one_more(served)
    path = f"abonnementen/{abonnement.uuid}/overdragen/"
    async with served.browser(Role.BEHEERDER) as browser:
        assert "Deze applicatie is er niet" in (await browser.get(f"abonnementen/{abonnement.uuid}/")).text
        for fields in (
            {"aan": "geo"},
            {"aan": "nobody", "waarom": "x"},
            {"aan": "", "waarom": "x"},
            {"waarom": "x"},
        ):
            assert (await browser.act(path, "overdragen", **fields)).status == 400
        done = await browser.act(path, "overdragen", aan="geo", waarom="andere leverancier")
        assert "Het abonnement is nu van geo; alleen geo kan het wijzigen. Het ligt stil" in text_of(
            done.text
        )
        assert f"geo ({HOSTILE})" in text_of(done.text)
        assert "eerst zelf moet instellen wat de callback vraagt" in text_of(done.text)
        given = await latest(served, abonnement.uuid)
        assert (given.client_id, given.auth, given.state) == ("geo", "", State.SUSPENDED)
        refused = await browser.act(f"abonnementen/{abonnement.uuid}/hervatten/", "hervatten")
        assert "heeft geen inloggegevens meer" in text_of(refused.text)
        along = await one_more(served)
        fields = {"aan": "geo", "waarom": "zelfde leverancier", "meegeven": "ja"}
        await browser.act(f"abonnementen/{along.uuid}/overdragen/", "overdragen", **fields)
        kept = await latest(served, along.uuid)
        assert (kept.client_id, kept.auth, kept.state) == ("geo", along.auth, State.ACTIVE)
    (noted,) = await served.registry.acts(ActSearch(abonnement=str(abonnement.uuid)), limit=9)
    assert noted.facts == noted.facts | {
        "application": "geo",
        "given_by": "test",
        "auth": "removed",
        "reason": "andere leverancier",
    }


async def test_what_a_callback_asks_for(served: Served, filled: Filled) -> None:
    def wants_key(received: Received) -> int:
        return 204 if received.header("X-Key") == "never-shown" else 401

    async with Callback() as callback, served.browser(Role.BEHEERDER) as browser:
        callback.decide = wants_key
        abonnement = await one_more(served, callback=callback.url("/"))
        path = f"abonnementen/{abonnement.uuid}/inloggegevens/"
        assert "auth: ingesteld; wordt nooit getoond" in text_of((await browser.get(path)).text)
        for fields, told in (
            ({}, "Kies wat de callback vraagt."),
            ({"soort": "header", "name": "Host", "value": "v"}, "geef een andere naam"),
            ({"soort": "header", "name": "X-Key", "value": "wrong"}, "neemt het testbericht niet aan"),
            ({"soort": "signature", "secret": "v", "oud": "86400"}, "nog geen geheim"),
            ({"soort": "zgw", "clientId": "nrc"}, "secret: Dit veld is verplicht."),
        ):
            page = await browser.act(path, "inloggegevens", **fields)
            assert page.status == 400
            assert told in text_of(page.text)
        given = {"soort": "header", "name": "X-Key", "value": "never-shown"}
        done = await browser.act(path, "inloggegevens", **given)
        text = text_of(done.text)
        assert "De callback nam het testbericht aan" in text
        assert "een API-sleutel in een eigen header: naam X-Key" in text
        assert "never-shown" not in done.text
        secret = new_signing_secret()
        for fields in (
            {"soort": "signature", "secret": secret},
            {"soort": "signature", "secret": new_signing_secret(), "oud": "86400"},
            {"soort": "zgw", "clientId": "nrc", "secret": "never-shown"},
            {"soort": "noAuth"},
        ):
            assert (await browser.act(path, "inloggegevens", **fields)).status == 200
        asked = (await latest(served, abonnement.uuid)).callback_auth
        assert asked is not None
        assert asked.kinds == ("header", "signature", "noAuth")
        assert asked.signature is not None
        assert asked.signature.old_secret == secret
        shown = await browser.get(f"abonnementen/{abonnement.uuid}/")
        assert "geen Authorization" in text_of(shown.text)
        assert secret not in shown.text
        callback.decide = lambda received: 204 if received.header("Authorization") == "Token test" else 401
        assert (await browser.act(path, "inloggegevens", soort="weg")).status == 200
    assert (await latest(served, abonnement.uuid)).callback_auth is None
    noted = await acts(served, abonnement.uuid)
    assert noted[0] == ("callback auth changed", "beheerder", "console abonnement-handeling/inloggegevens")
    assert len(noted) == 6


async def test_how_it_wants_to_be_delivered_to(served: Served, filled: Filled) -> None:
    abonnement = await one_more(served)
    path = f"abonnementen/{abonnement.uuid}/afleveropties/"
    async with served.browser(Role.BEHEERDER) as operator:
        for fields, told in (
            (
                {"rate": "veel"},
                "Ten hoogste zoveel verzoeken per seconde: Dit is een getal van 0,01 tot en met",
            ),
            ({"concurrency": "1,5"}, "Dit is een geheel getal van 1 tot en met 1000"),
        ):
            page = await operator.act(path, "afleveropties", **fields)
            assert page.status == 400
            assert told in text_of(page.text)
        done = await operator.act(path, "afleveropties", rate="0,5", concurrency="", consolidate="60")
        text = text_of(done.text)
        assert "ten hoogste 0,5 verzoeken per seconde" in text
        assert "om de 60 seconden, en dan de nieuwste" in text
        options = (await latest(served, abonnement.uuid)).options
        assert options is not None
        assert options.as_given() == {"rate": 0.5, "consolidate": 60}
        assert 'value="0,5"' in (await operator.get(path)).text
        assert (await operator.act(path, "afleveropties", rate="")).status == 200
    assert (await latest(served, abonnement.uuid)).options is None
    noted = await acts(served, abonnement.uuid)
    assert noted[0] == ("delivery options changed", "beheerder", "console abonnement-handeling/afleveropties")


async def test_what_is_not_there_is_not_found(served: Served, filled: Filled) -> None:
    async with served.browser(Role.ADMIN) as browser:
        for path in (uuid4(), "x", f"{filled.well.uuid}/iets", f"{uuid4()}/hervatten", "%00"):
            assert (await browser.get(f"abonnementen/{path}/")).status == 404
        gone = await one_more(served)
        token = (await browser.get(f"abonnementen/{gone.uuid}/hervatten/")).token
        await served.registry.remove_abonnement(gone.uuid)
        for name in ACTIONS:
            fields = {"token": token, "doen": name, "waarom": "x", "aan": "geo"}
            assert (await browser.post(f"abonnementen/{gone.uuid}/{name}/", fields)).status == 404
