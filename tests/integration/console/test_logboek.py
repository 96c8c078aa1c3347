"""Logboek: every act as `nrc audit-trail` has it, searched, in pages and as files."""

from __future__ import annotations

import ast
import csv
import html
import io
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest

from console.pages.logboek import ACTS, ON_A_PAGE
from ledger.explaining.dutch import AMSTERDAM
from schemas.user import Role
from store.registry import Act
from tests.integration.console.conftest import Browser, Page, Served

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def browser(served: Served) -> AsyncIterator[Browser]:
    async with served.browser(Role.LEZER) as opened:
        yield opened


def an_act(at: float, act: str = "kanaal added", user: str = "root", **facts: object) -> Act:
    return Act(at, act, "kanaal add", user, "", "host", facts)


def cells(page: Page, column: str) -> list[str]:
    """What stands in a column."""
    found = re.findall(rf'data-label="{column}"><span[^>]*>(.*?)</span></td>', page.text, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", each)).strip() for each in found]


async def test_every_act_by_whom_from_where_and_why(served: Served, browser: Browser) -> None:
    uuid = str(uuid4())
    await served.registry.note_acts(
        [
            Act(
                *(1e9, "abonnement suspended", "abonnement suspend", "root", "jan", "server1"),
                {"abonnement": uuid, "reason": "<script>alert(1)</script>"},
            ),
            Act(
                *(1e9 + 1, "secret rotated", "console applicatie/geheim", "anna", "", "server1"),
                {"application": "zac", "why": "gelekt", "address": "10.1.2.3"},
            ),
            Act(1e9 + 2, "something new", "some command", "root", "", "server1", {"odd": [1, True]}),
        ]
    )
    page = await browser.get(f"logboek/?tot=2001-09-09&abonnement={uuid}")
    assert cells(page, "Wie") == ["jan (als root)"]
    page = await browser.get("logboek/?sinds=2001-09-09+03:46:40&tot=2001-09-09+04:00")
    assert cells(page, "Wat") == ["something new", "geheim vervangen", "abonnement stilgelegd"]
    assert cells(page, "Wie") == ["root", "anna", "jan (als root)"]
    assert cells(page, "Waarvandaan") == ["nrc op server1", "console, vanaf 10.1.2.3", "nrc op server1"]
    assert cells(page, "Reden") == ["", "gelekt", ""]
    assert "<script>" not in page.text
    assert f"abonnement: {uuid}" in cells(page, "Waarop")[2]
    assert "2001-09-09T01:46:41.000Z" in page.text


async def test_a_search_asks_for_each_field(served: Served, browser: Browser) -> None:
    uuid = str(uuid4())
    await served.registry.note_acts(
        [
            an_act(2e9, kanaal="searched-kanaal"),
            an_act(2e9, "application added", application="searched-application"),
            an_act(2e9, "abonnement removed", abonnement=uuid, user="searched-user"),
        ]
    )
    for query, what in (
        ("kanaal=searched-kanaal", ["kanaal gemaakt"]),
        ("applicatie=searched-application", ["applicatie gemaakt"]),
        (f"abonnement={uuid.upper()}", ["abonnement verwijderd"]),
        ("wie=searched-user", ["abonnement verwijderd"]),
        ("wie=searched-user&wat=abonnement+removed", ["abonnement verwijderd"]),
        ("wie=searched-user&wat=kanaal+added", []),
        ("wie=%27%20OR%201=1", []),
    ):
        page = await browser.get(f"logboek/?{query}")
        assert cells(page, "Wat") == what, query
    assert "Er is niets gevonden" in (await browser.get("logboek/?wie=x")).text


async def test_it_takes_the_same_times_and_ids_as_other_pages(served: Served, browser: Browser) -> None:
    one = next(iter((await served.registry.changes_since(0)).abonnementen)).uuid
    act = an_act(time.time() - 60, "abonnement resumed", "short", abonnement=str(one))
    await served.registry.note_acts([act])
    day = datetime.now(AMSTERDAM)
    for query in (f"abonnement={str(one)[:8]}", "sinds=2h", f"sinds=2h&tot={day:%d-%m}"):
        found = await browser.get(f"logboek/?wie=short&{query}")
        assert cells(found, "Wat") == ["abonnement hervat"], query
    assert "Er is geen abonnement" in (await browser.get("logboek/?abonnement=zz")).text


@pytest.mark.parametrize(
    "moment", ["gisteren", "2026-13-01", "2026-01-31T99:00", "\x00", "9" * 400, "0001-01-01"]
)
async def test_a_moment_that_cannot_be_read_is_said(browser: Browser, moment: str) -> None:
    page = await browser.get("logboek/", params={"sinds": moment})
    assert page.status == 200
    assert ("is geen tijdstip" in page.text) == (moment != "0001-01-01")


@pytest.mark.parametrize("query", ["voor=x", "voor=-1", "voor=" + "9" * 40, "als=xml", "als=", "sinds="])
async def test_odd_queries_are_no_fault_of_ours(browser: Browser, query: str) -> None:
    assert (await browser.get(f"logboek/?{query}")).status == 200


async def test_pages_go_back_to_the_first_act(served: Served, browser: Browser) -> None:
    count = 2 * ON_A_PAGE + 7
    # All in one moment: their order is that in which they were noted.
    await served.registry.note_acts([an_act(3e9, user="pager", number=number) for number in range(count)])
    path, seen = "logboek/?wie=pager", []
    while path:
        page = await browser.get(path)
        seen += [int(each.partition("number: ")[2]) for each in cells(page, "Waarop")]
        after = re.search(r'href="(\?[^"]+)" rel="next"', page.text)
        path = f"logboek/{html.unescape(after[1])}" if after else ""
    assert seen == list(reversed(range(count)))


async def test_all_that_is_asked_for_as_a_file(served: Served, browser: Browser) -> None:
    uuid = str(uuid4())
    acts = [an_act(1.5e9 + number, user="filer", number=number) for number in range(ON_A_PAGE + 3)]
    acts.append(
        Act(
            *(1.6e9, "application removed", "console applicatie/verwijderen", "filer", "", "h"),
            {
                "application": "=cmd()",
                "abonnementen": [uuid],
                "why": 'é "quoted"\nline',
                "address": "10.0.0.1",
            },
        )
    )
    await served.registry.note_acts(acts)
    as_json = await browser.get("logboek/?wie=filer&als=json")
    assert as_json.headers["Content-Type"] == "application/json; charset=utf-8"
    found = json.loads(as_json.text)
    assert [each["facts"].get("number") for each in found] == [None, *reversed(range(ON_A_PAGE + 3))]
    assert found[0] == {
        "at": "2020-09-13T12:26:40Z",
        "act": "application removed",
        "user": "filer",
        "sudoUser": None,
        "host": "h",
        "command": "console applicatie/verwijderen",
        "facts": dict(acts[-1].facts),
    }

    as_csv = await browser.get("logboek/?wie=filer&als=csv")
    assert re.fullmatch(
        r'attachment; filename="nrc-logboek-\d{4}-\d\d-\d\d\.csv"', as_csv.headers["Content-Disposition"]
    )
    assert as_csv.text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}tijd,gebruiker,")
    rows = list(csv.DictReader(io.StringIO(as_csv.text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))))
    assert len(rows) == ON_A_PAGE + 4
    assert rows[0]["applicatie"] == "'=cmd()", "no formula for a spreadsheet"
    assert (rows[0]["abonnement"], rows[0]["vanaf"], rows[0]["waarom"]) == (
        *(uuid, "10.0.0.1"),
        'é "quoted"\nline',
    )
    assert json.loads(rows[0]["feiten"]) == dict(acts[-1].facts)
    assert json.loads((await browser.get("logboek/?wie=nobody&als=json")).text) == []


def test_every_act_of_the_code_is_told_in_dutch() -> None:
    """Those that are given as a literal where they are noted."""
    names = {"record", "append", "Told", "_Act"}
    found = set()
    for package in ("nrc", "operating", "alerting", "console"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and _name(node.func) in names:
                    texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
                    # Acts are in small letters; sentences that are collected for people are not.
                    found |= {each for each in texts[:1] if isinstance(each, str) and _IS_ACT.fullmatch(each)}
    assert {"application added", "retry dropped", "replay begun", "user locked out"} <= found
    assert found <= ACTS.keys()


_IS_ACT = re.compile(r"[a-z]+( [a-z]+)+")


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
