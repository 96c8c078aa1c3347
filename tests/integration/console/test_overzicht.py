"""Overzicht: the last hour, what waits, what runs, and what needs attention."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from uuid import uuid4

from ledger.ids import new_id
from ledger.opening import ledger_of
from ledger.values import Key, Outcome, PassedOn, State, Unrouted
from schemas.abonnement import State as Condition
from schemas.user import Role
from tests.contract.stores.test_ledger import an_entry
from tests.integration.conftest import settings_for
from tests.integration.console.conftest import Served, add_users, console_on
from tests.make import a_kanaal, an_abonnement


def text_of(page: str) -> str:
    """What a reader has."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


async def test_what_happened_and_what_waits(served: Served) -> None:
    async with served.browser(Role.LEZER) as browser:
        page = await browser.get()
    assert page.status == 200
    text = text_of(page.text)
    # Two of the three notificaties that conftest.py adds came within this hour.
    assert "Aangenomen notificaties Het laatste uur 2, in een minuut hoogstens 1." in text
    assert page.text.count('role="img"') == page.text.count("<details>") == 8
    assert "2 abonnementen worden vastgehouden of liggen stil; daarvoor wachten 6 notificaties." in text
    assert "doet het al 11 minuten niet (geen antwoord binnen de tijd); 3 notificaties wachten." in text
    assert "is stilgelegd (de callback antwoordde met status 410); 3 notificaties wachten. Spreek" in text
    assert re.search(r"http://127.0.0.1:9/active van zac · [0-9a-f]{8} actief 3 0 1 uur", text)
    assert "RabbitMQ goed verbonden" in text
    assert "Router goed 1 aan het werk" in text
    assert "Er antwoordt geen gateway, dus er wordt niets aangenomen" in text


async def test_how_long_it_took_and_what_was_held_stand_in_a_chart_and_its_table(served: Served) -> None:
    now = int(time.time() * 1000) - 120_000  # so that all of it is over
    delivered = [
        # Half a millisecond more: `now / 1000` may be less than that many milliseconds.
        Outcome(
            Key(new_id(at=(now + 0.5) / 1000), uuid4()), State.DELIVERED, 0, 1, now + ms, status=204, ms=1.0
        )
        for ms in (*[8] * 98, 30_000, 30_000)
    ]
    every = (await served.registry.changes_since(0)).abonnementen
    active = next(each.uuid for each in every if each.callback_url.endswith("/active"))
    undeliverable = Key(new_id(at=now / 1000), active)
    async with ledger_of(served.settings) as ledger:
        await ledger.write([*delivered, Outcome(undeliverable, State.UNDELIVERABLE, 0, 9, now)])
        epoch = await ledger.keeping.take_lease("test", seconds=60)
        assert epoch
        held = {uuid for uuid, each in (await ledger.backlogs()).items() if each.count}
        assert await ledger.keeping.count_held(epoch, held) == 9
    async with served.browser(Role.LEZER) as browser:
        page = await browser.get()
    text = text_of(page.text)
    assert f"Voor abonnement {active} van zac is 1 notificatie onbestelbaar." in text
    assert f'href="./notificaties/?abonnement={active}&amp;toestand=undeliverable"' in page.text
    assert "Het laatste uur de helft binnen 7 ms (p50), 95% binnen 8 ms (p95), 99% binnen 30 s (p99)." in text
    assert re.search(r"Cijfers : van aangenomen tot afgeleverd .*? Vanaf p50 p95 p99 \d\d:\d\d ", text)
    assert "Bij de laatste telling 9, het laatste uur hoogstens 9." in text


async def test_what_waits_in_the_lane_for_bulk(served: Served) -> None:
    every = (await served.registry.changes_since(0)).abonnementen
    active = next(each for each in every if each.callback_url.endswith("/active"))
    async with served.browser(Role.LEZER) as browser, ledger_of(served.settings) as ledger:
        assert "baan voor bulk" not in (await browser.get()).text
        bulk = [an_entry(*of, passed_on=PassedOn("nacht", lane=True)) for of in ((active.uuid,), ())]
        await ledger.write([*bulk, *(Unrouted(each.id, lane=True) for each in bulk)])
        page = await browser.get()
        told = r"In de baan voor bulk wachten 2 notificaties, de oudste sinds \S.*?; de meeste \(1\) voor "
        assert re.search(rf"{told}http://127.0.0.1:9/active van zac ?\.", text_of(page.text))
        assert f'href="./abonnementen/{active.uuid}/">http' in page.text


async def test_without_a_ledger_and_without_rabbitmq(tmp_path: Path) -> None:
    settings = settings_for("amqp://127.0.0.1:1/", tmp_path)
    async with console_on(settings) as served, served.browser() as browser:
        await served.registry.users.remove("admin")
        await add_users(served.registry)
        await served.registry.add_kanaal(a_kanaal("zaken"))
        suspended = await served.registry.add_abonnement(an_abonnement(("zaken", {})))
        await served.registry.set_state(suspended.uuid, Condition.SUSPENDED, "by a test")
        await browser.log_in("lezer")
        page = await browser.get()
        assert page.status == 200
        text = text_of(page.text)
        assert "RabbitMQ is niet te bereiken, dus er wordt niets afgeleverd" in text
        assert "Het grootboek is niet te lezen. Kijk met nrc ledger status wat er is." in text
        assert "Technische melding: there is no ledger" in text
        assert "er zijn geen cijfers" in text
        assert (
            "1 abonnement wordt vastgehouden of ligt stil; hoeveel daarvoor wacht, is nu niet bekend." in text
        )
        assert "<svg" not in page.text
        for path in ("", "kanalen/", "abonnementen/", "opnieuw/", "opnieuw/wachtend/", "notificaties/"):
            page = await browser.get(path)
            assert page.status == (503 if path == "notificaties/" else 200)
            told = re.sub(r'<code lang="en">.*?</code>', "", page.text)
            assert "Het grootboek is niet te lezen. Kijk met nrc ledger status wat er is." in text_of(told)
            assert "Technische melding: there is no ledger" in text_of(page.text)
            assert not re.search(r"there is|Errno|no answer|not declared", told), path

        async with ledger_of(settings):
            pass
        text = text_of((await browser.get()).text)
        assert "Er wacht niets." in text
        assert "Het laatste uur geen." in text
