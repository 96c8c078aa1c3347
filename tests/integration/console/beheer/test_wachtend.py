"""What waits between attempts, in the console: listed, sent now, dropped; over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid4

import pytest

from ledger.ledger import Ledger
from ledger.opening import ledger_of
from ledger.values import Key, State
from schemas.abonnement import Abonnement
from schemas.user import Role
from store.registry import ActSearch
from tests.integration.console.beheer.filling import HOSTILE, Filled, an_entry, fill, outcome
from tests.integration.console.beheer.test_abonnementen import text_of
from tests.integration.console.beheer.test_opnieuw import later_made
from tests.integration.console.conftest import Served


@pytest.fixture(scope="module")
async def filled(served: Served) -> Filled:
    return await fill(served)


async def retrying(ledger: Ledger, to: Abonnement, *, count: int) -> list[UUID]:
    """So many notificaties that wait for their next attempt."""
    entries = [an_entry(to.uuid, ago=30 + number, number=number) for number in range(count)]
    await ledger.write(entries)
    await ledger.write([outcome(each, to.uuid, State.RETRYING, failed=True) for each in entries])
    return [each.id for each in entries]


async def states(ledger: Ledger, ids: list[UUID], to: Abonnement) -> Mapping[State, int]:
    rows = [await ledger.delivery(Key(id_, to.uuid)) for id_ in ids]
    found = [row.state for row in rows if row is not None]
    return {state: found.count(state) for state in set(found)}


async def acts(served: Served, to: Abonnement) -> list[tuple[str, str, object]]:
    found = await served.registry.acts(ActSearch(abonnement=str(to.uuid), what="retry"), limit=99)
    return [(act.act, act.user, act.facts.get("why")) for act in found]


async def test_what_waits_is_listed(served: Served, filled: Filled) -> None:
    async with served.browser(Role.LEZER) as browser:
        page = await browser.get("opnieuw/wachtend/")
        name = f"archief: zaken, https://archief.gemeente.example.nl/nrc ({str(filled.failing.uuid)[:8]})"
        assert f"{name} 3 0" in text_of(page.text)
        assert f"?abonnement={filled.failing.uuid}&amp;toestand=retrying" in page.text
        assert "Schrappen" not in page.text
        for doen in ("nu", "schrappen"):
            assert (await browser.get(f"opnieuw/wachtend/{filled.failing.uuid}/{doen}/")).status == 403


async def test_all_of_an_abonnement_is_sent_now(served: Served, filled: Filled) -> None:
    async with served.browser(Role.BEHEERDER) as browser, ledger_of(served.settings) as ledger:
        to = await later_made(served, browser)
        ids = await retrying(ledger, to, count=3)
        path = f"opnieuw/wachtend/{to.uuid}/nu/"
        assert "Van 3 afleveringen wordt de volgende poging nu gedaan" in text_of(
            (await browser.get(path)).text
        )
        refused = await browser.act(path, "nu", waarom="")
        assert (refused.status, "Zeg waarom" in refused.text) == (400, True)
        assert await states(ledger, ids, to) == {State.RETRYING: 3}
        done = await browser.act(path, "nu", waarom=HOSTILE)
        assert "Van 3 afleveringen wordt de volgende poging nu gedaan." in text_of(done.text)
        assert await states(ledger, ids, to) == {State.PENDING: 3}
        assert await acts(served, to) == [("retry sent now", "beheerder", HOSTILE)] * 3
        again = await browser.get(path)
        assert "Er wacht hier niets meer op een volgende poging." in again.text


async def test_all_of_an_abonnement_is_dropped(served: Served, filled: Filled) -> None:
    async with served.browser(Role.BEHEERDER) as browser, ledger_of(served.settings) as ledger:
        to = await later_made(served, browser)
        ids = await retrying(ledger, to, count=2)
        path = f"opnieuw/wachtend/{to.uuid}/schrappen/"
        token = (await browser.get(path)).token
        wrong = await browser.post(path, {"token": token, "doen": "nu", "waarom": "x"})
        assert (wrong.status, await states(ledger, ids, to)) == (400, {State.RETRYING: 2})
        done = await browser.act(path, "schrappen", waarom="bestaat niet meer")
        assert "2 afleveringen geschrapt: zij worden niet meer afgeleverd." in text_of(done.text)
        assert await states(ledger, ids, to) == {State.REMOVED: 2}
        assert await acts(served, to) == [("retry dropped", "beheerder", "bestaat niet meer")] * 2
        late = await browser.post(path, {"token": token, "doen": "schrappen", "waarom": "x"})
        assert late.status == 400


async def test_what_is_not_there_is_not_found(served: Served, filled: Filled) -> None:
    async with served.browser(Role.BEHEERDER) as browser:
        for path in (f"{uuid4()}/nu", f"{filled.failing.uuid}/iets", "x/nu"):
            assert (await browser.get(f"opnieuw/wachtend/{path}/")).status == 404
