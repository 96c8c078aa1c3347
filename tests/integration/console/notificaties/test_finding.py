"""Notificaties found in the console: by any combination, page after page, and what is wrong with a search."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

import pytest

from ledger.values import Entry
from schemas.user import Role
from tests.integration.console.conftest import Browser, Page, Served
from tests.integration.console.notificaties.night import ZAAK, Night

NOBODY = UUID(int=9)
"""Of nothing that is there."""


def shown(page: Page) -> list[str]:
    """The ids in its list, in order."""
    return re.findall(r'<tr [^>]*id="n-([0-9a-f-]{36})"', page.text)


def ids_of(entries: Iterable[Entry]) -> list[str]:
    return [str(each.id) for each in entries]


async def test_pages_go_on_and_back(lezer: Browser, night: Night) -> None:
    seen: list[str] = []
    address = "notificaties/"
    pages = []
    while address:
        page = await lezer.get(address)
        assert page.status == 200
        pages.append(shown(page))
        seen += shown(page)
        older = re.search(r'href="([^"]+)" rel="next"', page.text)
        address = f"notificaties/{older[1].replace('&amp;', '&')}" if older else ""
    assert seen == ids_of(night.every)
    assert [len(each) for each in pages] == [50, len(night.every) - 50]
    newer = re.search(r'href="([^"]+)" rel="prev"', page.text)
    assert newer
    assert shown(await lezer.get(f"notificaties/{newer[1]}")) == pages[0]


@pytest.mark.parametrize("text", [ZAAK, f"{ZAAK}/", ZAAK.rpartition("/")[2], ZAAK.rpartition("/")[2].upper()])
async def test_an_object_is_found_by_its_url_and_by_its_uuid(lezer: Browser, night: Night, text: str) -> None:
    page = await lezer.get("notificaties/", params={"zoek": text})
    assert shown(page) == ids_of([night.failing, night.every[3]])


async def test_an_id_leads_to_its_notificatie(lezer: Browser, night: Night) -> None:
    whole = str(night.failing.id)
    for typed in (whole, whole.upper(), f" {whole} ", whole[:18]):
        page = await lezer.get("notificaties/", params={"zoek": typed})
        assert page.url.endswith(f"/notificaties/{whole}/"), typed
    page = await lezer.get("notificaties/", params={"zoek": whole[:4]})
    assert "Geef meer tekens" in page.text


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("kanaal=documenten", [4]),
        ("resource=zaak", [1, 3]),
        ("resource=zaak&actie=partial_update", [3]),
        ("applicatie=openzaak&resource=status", [2]),
        ("kenmerk=zaaktype%3Dbezwaar&kenmerk=Bronorganisatie%3D517439943&resource=zaak", [1, 3]),
        ("kenmerk=zaaktype%3Dbezwaar&kenmerk=bronorganisatie%3D1", []),
        ("toestand=undeliverable", [3]),
        ("toestand=undeliverable&toestand=retrying", [2, 3]),
        ("toestand=open", [2, -1]),
        ("sinds=10m&tot=2m", [2, 3]),
        ("mislukt=ja", [2, 3]),
        ("mislukt=ja&toestand=undeliverable", [3]),
        ("later=2h", []),
        ("kanaal=weg", []),
        ("applicatie=weg", []),
        ("zoek=niets", []),
        (f"hoofdobject={ZAAK}&resource=zaak", [3]),
        ("hoofdobject=ddc6d192-5b7f-4a1e-9a55-0f2c1f0f6a11&resourceurl=1&kanaal=zaken&resource=status", [2]),
        ("hoofdobject=1&kanaal=zaken", []),
        (f"abonnement={NOBODY}", []),
    ],
)
async def test_a_search_by_any_combination(
    lezer: Browser, night: Night, query: str, wanted: list[int]
) -> None:
    page = await lezer.get(f"notificaties/?{query}")
    assert page.status == 200
    assert shown(page) == ids_of([night.every[each] for each in wanted])
    if not wanted:
        assert re.search(r'id="leeg">[A-Z][^<]+\.', page.text)


async def test_for_whom_it_failed(lezer: Browser, night: Night) -> None:
    page = await lezer.get("notificaties/?mislukt=ja")
    assert "Voor wie iets mislukte of laat kwam" in page.text
    table = page.text.partition("Voor wie iets mislukte")[2].partition("</table>")[0]
    assert str(night.archief.uuid)[:8] in table
    assert "Voor wie iets mislukte" not in (await lezer.get("notificaties/")).text
    assert "Later dan 2 uur" in (await lezer.get("notificaties/?later=2h")).text


async def test_a_search_by_abonnement(lezer: Browser, night: Night) -> None:
    for typed in (str(night.archief.uuid), str(night.archief.uuid)[:8]):
        page = await lezer.get(f"notificaties/?abonnement={typed}&toestand=undeliverable")
        assert shown(page) == ids_of([night.every[3]])
        assert "1 onbestelbaar" in page.text
        assert "1 afgeleverd" not in page.text, "that is another abonnement's"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sinds=straks", "&#39;straks&#39; is geen tijdstip"),
        ("tot=99:99", "is geen tijdstip"),
        ("sinds=9999-99-99", "is geen tijdstip"),
        ("sinds=1h&tot=2h", "ligt niet voor"),
        ("kenmerk=zaaktype", "als naam=waarde"),
        ("kenmerk=%3Dx", "als naam=waarde"),
        ("toestand=weg", "is geen toestand"),
        ("later=even", "is geen duur"),
        ("abonnement=zz", "Er is geen abonnement"),
        ("abonnement=x0", "Er is geen abonnement"),
    ],
)
async def test_what_cannot_be_searched_is_told(lezer: Browser, night: Night, query: str, said: str) -> None:
    page = await lezer.get(f"notificaties/?{query}")
    assert page.status == 200
    assert said in page.text
    assert shown(page) == []


@pytest.mark.parametrize(
    "query",
    [
        *(
            "zoek=%00",
            "zoek=%FF",
            "zoek=%ED%A0%80",
            "zoek=" + "x" * 4000,
            "zoek=https://",
            "zoek=http://[::1",
        ),
        *("na=zz", "voor=zz", "na=00000000-0000-0000-0000-000000000000", f"voor={NOBODY}", "na=&voor="),
        *("sinds=0001-01-01T00:00", "tot=9999-12-31T23:59:59-23:59", "sinds=1970-01-01", "sinds=36525d"),
        *("kanaal=a", "kenmerk=a%3D%ED%A0%80", "toestand=open&toestand=open", "als=niets", "x=y"),
        *("applicatie=%22%3E%3Cscript%3E", "kenmerk=%3Cscript%3E%3D%3Cscript%3E"),
    ],
)
async def test_no_query_is_a_fault_of_ours(lezer: Browser, night: Night, query: str) -> None:
    page = await lezer.get(f"notificaties/?{query}")
    assert page.status == 200, page.text
    assert "<script>" not in page.text


@pytest.mark.parametrize("path", ["", "waarom/", "handeling/?doen=nu"])
@pytest.mark.parametrize("id_", [str(NOBODY), "zz", "%00", "01a2"])
async def test_what_is_not_there_is_not_found(served: Served, id_: str, path: str) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        assert (await browser.get(f"notificaties/{id_}/{path}")).status == 404
