"""Replays in the console: counted, begun, carried out by a keeper, paused, resumed, stopped; over HTTP."""

from __future__ import annotations

import asyncio
import re
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from ledger.keeper.service import serve
from ledger.opening import ledger_of
from ledger.operating.replays import Progress, Replay
from ledger.values import State
from schemas.abonnement import Abonnement
from schemas.user import Role
from store.registry import ActSearch
from tests.eventually import eventually
from tests.integration.conftest import running
from tests.integration.console.beheer.filling import HOSTILE, Filled, fill
from tests.integration.console.beheer.test_abonnementen import text_of
from tests.integration.console.conftest import Browser, Page, Served, console_on
from tests.integration.ledger.keeping import SHORT
from tests.make import an_abonnement

ALL = {"tellen": "1", "kanaal": "zaken", "sinds": "1h"}


@pytest.fixture(scope="module")
async def filled(served: Served) -> Filled:
    return await fill(served)


def keeper(served: Served) -> AbstractAsyncContextManager[None]:
    return running(serve, served.settings, limits=SHORT)


async def later_made(served: Served, browser: Browser) -> Abonnement:
    """An abonnement that was made after everything came, with its queue."""
    made = await served.registry.add_abonnement(an_abonnement(("zaken", {"zaaktype": "bezwaar"})))
    await browser.act(f"abonnementen/{made.uuid}/stilleggen/", "stilleggen", waarom="x")
    await browser.act(f"abonnementen/{made.uuid}/hervatten/", "hervatten")
    return made


async def begin(browser: Browser, to: Abonnement, *, tempo: str = "50", **query: str) -> Page:
    """Count, and begin."""
    path = f"opnieuw/nieuw/?{urlencode({**ALL, 'naar': str(to.uuid), **query})}"
    counted = await browser.get(path)
    until = re.search(r'name="voor" value="(\d+)"', counted.text)
    assert until, text_of(counted.text)
    fields = {"token": counted.token, "doen": "beginnen", "voor": until[1], "waarom": HOSTILE, "tempo": tempo}
    return await browser.post(path, fields)


async def replay_of(served: Served, page: Page) -> Replay:
    """The replay that a page is of."""
    async with ledger_of(served.settings) as ledger:
        found = await ledger.replays.replay(int(page.url.partition("?")[0].rstrip("/").rpartition("/")[2]))
    assert found is not None
    return found


async def test_it_is_counted_with_a_sample_before_anything_is_done(served: Served, filled: Filled) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        to = await later_made(served, browser)
        empty = await browser.get(f"opnieuw/nieuw/?naar={to.uuid}")
        assert "Kies" not in text_of(empty.text).partition("1. Welke")[0]
        page = await browser.get(f"opnieuw/nieuw/?{urlencode({**ALL, 'naar': str(to.uuid)})}")
        text = text_of(page.text)
        # 30 and the hostile one, and two of the fixture.
        assert f"33 notificaties , naar test: zaken, http://127.0.0.1:9/ ({str(to.uuid)[:8]})." in text
        assert "Daarvan worden er 33 verzonden" in text
        held = await browser.get(f"opnieuw/nieuw/?{urlencode({**ALL, 'naar': str(filled.held.uuid)})}")
        # 30 are still to be delivered to it.
        assert "Daarvan worden er 3 verzonden; de rest wordt overgeslagen." in text_of(held.text)
        assert "wordt verzonden" in text
        async with ledger_of(served.settings) as ledger:
            assert to.uuid not in {each.plan.abonnement for each in await ledger.replays.replays(limit=99)}
        open_ = {**ALL, "naar": str(filled.held.uuid), "van": str(filled.held.uuid)}
        none = await browser.get(f"opnieuw/nieuw/?{urlencode(open_)}")
        assert "Er is dus niets te verzenden." in text_of(none.text)
        assert 'value="beginnen"' not in none.text
        removed = {**ALL, "naar": str(to.uuid), "toestand": "undeliverable", "van": str(filled.failing.uuid)}
        narrow = text_of((await browser.get(f"opnieuw/nieuw/?{urlencode(removed)}")).text)
        assert "2 notificaties" in narrow
        nothing = {**removed, "van": str(uuid4())}
        found_none = text_of((await browser.get(f"opnieuw/nieuw/?{urlencode(nothing)}")).text)
        assert "Er is niets bewaard dat hieraan voldoet." in found_none


async def test_what_it_has_is_left_out_when_that_is_asked(served: Served, filled: Filled) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        query = {
            **ALL,
            "naar": str(filled.well.uuid),
            "kenmerk": "zaaktype=bezwaar, bronorganisatie=517439943",
        }
        all_ = text_of((await browser.get(f"opnieuw/nieuw/?{urlencode(query)}")).text)
        assert "Daarvan worden er 31 verzonden" in all_
        page = await browser.get(f"opnieuw/nieuw/?{urlencode({**query, 'gemist': '1'})}")
        # All but the one that was for nobody.
        assert "Daarvan worden er 1 verzonden" in text_of(page.text)
        assert f'href="../../notificaties/{filled.entries[-1].id}/"' in page.text
        assert "wat het al gekregen heeft" in text_of(page.text)
        await begin(browser, filled.well, **query, gemist="1")
    async with ledger_of(served.settings) as ledger, keeper(served):

        async def done() -> Replay | None:
            found = (await ledger.replays.replays(limit=1))[0]
            return found if found.progress is Progress.DONE else None

        ended = await eventually(done, within=60.0)
    assert ended is not None
    assert (ended.plan.lacking, ended.sent, ended.skipped) == (True, 1, 30)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"naar": ""}, "Kies het abonnement dat de notificaties krijgt."),
        ({"naar": HOSTILE}, "Kies het abonnement dat de notificaties krijgt."),
        ({"sinds": "straks"}, "Dit is geen tijdstip."),
        ({"sinds": "1h", "tot": "2h"}, "Draai ze om."),
        ({"van": "x"}, "Er is geen abonnement 'x'."),
        ({"kenmerk": "zaaktype"}, "Schrijf een kenmerk als naam=waarde"),
        ({"toestand": HOSTILE}, "Kies uit de toestanden hieronder."),
        ({"kanaal": "", "sinds": ""}, "Zeg welke: een kanaal, een object, een kenmerk"),
    ],
)
async def test_what_is_wrong_is_told(
    served: Served, filled: Filled, query: dict[str, str], told: str
) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        asked = urlencode({**ALL, "naar": str(filled.well.uuid), **query})
        page = await browser.get(f"opnieuw/nieuw/?{asked}")
        assert (page.status, told in text_of(page.text)) == (200, True)
        assert "<script>" not in page.text
        refused = await browser.post(
            f"opnieuw/nieuw/?{asked}",
            {"token": page.token, "doen": "beginnen", "voor": "1", "waarom": "x", "tempo": "5"},
        )
        assert refused.status == 400


@pytest.mark.parametrize(
    "fields",
    [{"waarom": ""}, {"tempo": "0"}, {"tempo": "201"}, {"tempo": "nan"}, {"voor": ""}, {"voor": "1"}],
)
async def test_without_reason_rate_or_count_nothing_begins(
    served: Served, filled: Filled, fields: dict[str, str]
) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        path = f"opnieuw/nieuw/?{urlencode({**ALL, 'naar': str(filled.suspended.uuid)})}"
        token = (await browser.get(path)).token
        right = {"token": token, "doen": "beginnen", "voor": "9999999999999", "waarom": "x", "tempo": "5"}
        assert (await browser.post(path, {**right, **fields})).status == 400
    async with ledger_of(served.settings) as ledger:
        assert filled.suspended.uuid not in {
            each.plan.abonnement for each in await ledger.replays.replays(limit=99)
        }


async def test_a_keeper_carries_it_out_and_pages_tell_how_far(served: Served, filled: Filled) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        to = await later_made(served, browser)
        page = await begin(browser, to, tempo="200")
        assert "is begonnen" in text_of(page.text)
        assert HOSTILE in text_of(page.text)
        assert "Er werkt nu geen bewaarder" in text_of(page.text)
        number = (await replay_of(served, page)).number
        async with keeper(served):

            async def done() -> bool:
                return "klaar" in text_of((await browser.get(f"opnieuw/{number}/")).text)

            async def published() -> bool:
                async with ledger_of(served.settings) as ledger:
                    rows = (await ledger.deliveries([filled.entries[0].id]))[filled.entries[0].id]
                return [row.state for row in rows if row.key.replay == number] == [State.PENDING]

            await eventually(done, within=60.0)
            await eventually(published, within=60.0)
        ended = await replay_of(served, page)
        assert (ended.progress, ended.sent) == (Progress.DONE, 33)
        text = text_of((await browser.get(f"opnieuw/{number}/")).text)
        assert "33 verzonden" in text
        assert "Stoppen" not in text
        listed = await browser.get("opnieuw/")
        assert f"Herhaling {number}" in listed.text
        assert HOSTILE in text_of(listed.text)
        assert "<script>" not in listed.text
        (noted,) = [
            act
            for act in await served.registry.acts(ActSearch(abonnement=str(to.uuid)), limit=9)
            if act.act == "replay begun"
        ]
        assert (noted.user, noted.command) == ("beheerder", "console herhaling-nieuw/beginnen")
        assert noted.facts["reason"] == HOSTILE


async def test_pause_resume_and_stop_also_after_a_restart_of_the_console(
    served: Served, filled: Filled
) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        to = await later_made(served, browser)
        page = await begin(browser, to, tempo="0,1")
        path = page.url.removeprefix(served.root)
        done = await browser.act(path, "pauzeren")
        assert "is gepauzeerd" in text_of(done.text)
        assert (await replay_of(served, page)).progress is Progress.PAUSED
        again = await browser.act(path, "pauzeren")
        assert (again.status, "Het is intussen veranderd" in again.text) == (
            400,
            False,
        ) or again.status == 409
    async with console_on(served.settings) as other, other.browser(Role.BEHEERDER) as browser:
        assert "gepauzeerd" in text_of((await browser.get(path)).text)
        assert "gaat verder" in text_of((await browser.act(path, "hervatten")).text)
        assert 'http-equiv="refresh"' in (await browser.get(f"{path}?vanzelf=1")).text
        assert "is gestopt" in text_of((await browser.act(path, "stoppen")).text)
        assert 'http-equiv="refresh"' not in (await browser.get(f"{path}?vanzelf=1")).text
        assert (await replay_of(served, page)).progress is Progress.STOPPED
        token = (await browser.get("account/")).token
        late = await browser.post(path, {"token": token, "doen": "hervatten"})
        assert late.status == 409
    acts = await served.registry.acts(ActSearch(abonnement=str(to.uuid)), limit=9)
    assert [act.act for act in acts][:3] == ["replay stopped", "replay resumed", "replay paused"]
    assert {act.user for act in acts} == {"beheerder"}


async def test_events_tell_how_far_it_is(served: Served, filled: Filled) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        to = await later_made(served, browser)
        page = await begin(browser, to, tempo="200")
        async with (
            keeper(served),
            browser.session.get(f"{page.url}?als=stroom") as stream,
            asyncio.timeout(120),
        ):
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            text = ""
            while "event: ended" not in text:
                line = await stream.content.readline()
                assert line, text
                text += line.decode()
        assert (await replay_of(served, page)).progress is Progress.DONE


async def test_a_reader_sees_all_and_may_do_nothing(served: Served, filled: Filled) -> None:
    async with served.browser(Role.BEHEERDER) as other, served.browser(Role.LEZER) as browser:
        to = await later_made(served, other)
        page = await begin(other, to, tempo="0,1")
        path = page.url.removeprefix(served.root)
        seen = await browser.get(path)
        assert "Gevraagd door beheerder" in text_of(seen.text)
        assert "Pauzeren" not in seen.text
        assert "Opnieuw verzenden" not in text_of((await browser.get("opnieuw/")).text)
        assert (await browser.get("opnieuw/nieuw/")).status == 403
        token = (await browser.get("account/")).token
        for name in ("pauzeren", "hervatten", "stoppen"):
            assert (await browser.post(path, {"token": token, "doen": name})).status == 403
            assert (await other.post(path, {"token": "", "doen": name})).status == 400
        assert (await replay_of(served, page)).progress is Progress.RUNNING
        await other.act(path, "stoppen")


async def test_what_is_not_there_is_not_found(served: Served, filled: Filled) -> None:
    async with served.browser(Role.LEZER) as browser:
        for path in ("999999", "0", "x", "99999999999999999999"):
            assert (await browser.get(f"opnieuw/{path}/")).status == 404
