"""Kanalen in the console: what is told of them, over HTTP."""

from __future__ import annotations

import re
from dataclasses import replace
from uuid import uuid4

import pytest

from ledger.opening import ledger_of
from schemas.user import Role
from tests.integration.console.beheer.filling import HOSTILE, Filled, an_entry, fill
from tests.integration.console.beheer.test_abonnementen import text_of
from tests.integration.console.conftest import Served
from tests.make import an_abonnement


@pytest.fixture(scope="module")
async def filled(served: Served) -> Filled:
    return await fill(served)


async def test_the_list(served: Served, filled: Filled) -> None:
    async with served.browser(Role.LEZER) as browser:
        page = await browser.get("kanalen/")
        rows = [text_of(f"<main{row}</main>") for row in page.text.split("<tr")[2:]]
        assert [row.split()[1] for row in rows] == ["documenten", "stil", "zaken"]
        assert "geen 1 gemiddeld minder dan 0,1 per minuut drc 1 1" in rows[0]
        assert "geen 0 niemand 0 0" in rows[1]
        assert "bronorganisatie, zaaktype, vertrouwelijkheidaanduiding" in rows[2]
        # 30 and one that is hostile, beside what the fixture had.
        assert re.search(r"3\d gemiddeld 0,[56] per minuut openzaak, bron, ", rows[2]), rows[2]
        assert 'href="https://zaken.example.nl/kanalen/#zaken"' in page.text
        assert "javascript:" not in page.text
        assert "<script" not in page.text
        found = await browser.get("kanalen/?zoek=ZAAKTYPE")
        assert [naam in found.text for naam in ("documenten", "zaken")] == [False, True]
        assert "geen kanaal dat hieraan voldoet" in (await browser.get("kanalen/?zoek=%00")).text


async def test_one(served: Served, filled: Filled) -> None:
    async with served.browser(Role.LEZER) as browser:
        page = await browser.get(f"kanalen/{filled.kanalen['zaken'].uuid}/")
        text = text_of(page.text)
        assert "Gemaakt door openzaak" in text
        for told in ("openzaak 30 0", f"{HOSTILE} 1 1", "zaaktype = bezwaar", f"zaaktype = {HOSTILE}"):
            assert told in text
        assert "Pasten" not in text
        for each in (filled.well, filled.failing, filled.held, filled.suspended, filled.hostile):
            assert f"abonnementen/{each.uuid}/" in page.text
        other = await browser.get(f"kanalen/{filled.kanalen['documenten'].uuid}/")
        assert "javascript:alert(3) (geen adres om te volgen)" in text_of(other.text)
        assert 'href="javascript' not in other.text
        assert "pasten bij geen enkel abonnement" in text_of(other.text)
        still = text_of((await browser.get(f"kanalen/{filled.kanalen['stil'].uuid}/")).text)
        assert "gaat naar niemand" in still
        assert "was er geen op dit kanaal" in still


async def test_filters_that_the_kanaal_has_not_are_pointed_out(served: Served, filled: Filled) -> None:
    made = await served.registry.add_abonnement(an_abonnement(("stil", {"zaak_type": "a"}), ("stil", {})))
    entry = an_entry(made.uuid, ago=5, kanaal="stil", client="bron")
    async with served.browser(Role.LEZER) as browser, ledger_of(served.settings) as ledger:
        await ledger.write([entry])
        text = text_of((await browser.get(f"kanalen/{filled.kanalen['stil'].uuid}/")).text)
        assert "zaak_type = a of alles Let op: zaak_type staat niet (meer) bij dit kanaal." in text
        assert "bron 1 0" in text
        assert "was er op dit kanaal geen voor niemand" in text


async def test_who_fetches_is_among_the_subscribers(served: Served, filled: Filled) -> None:
    fetched = replace(an_abonnement(("stil", {}), callback=""), auth="", client_id="zac")
    fetched = await served.registry.add_abonnement(fetched)
    async with served.browser(Role.BEHEERDER) as browser:
        kanaal = await browser.get(f"kanalen/{filled.kanalen['stil'].uuid}/")
        assert f"haalt zelf op van zac · {str(fetched.uuid)[:8]}" in text_of(kanaal.text)
        one = await browser.get(f"abonnementen/{fetched.uuid}/")
        assert "Opnieuw verzenden" not in one.text


async def test_what_is_not_there_is_not_found(served: Served, filled: Filled) -> None:
    async with served.browser(Role.LEZER) as browser:
        for path in (uuid4(), "zaken", "%00"):
            assert (await browser.get(f"kanalen/{path}/")).status == 404
