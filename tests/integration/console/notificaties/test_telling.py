"""One notificatie in the console: what became of it, why, and texts that are hostile."""

from __future__ import annotations

import time
from dataclasses import replace
from uuid import uuid4

from ledger.opening import ledger_of
from ledger.values import Key, Outcome, State
from schemas.abonnement import Hold
from tests.integration.console.conftest import Browser, Served
from tests.integration.console.notificaties.night import ZAAK, Night, an_entry, subscribe

DAY = 86400


async def test_one_with_what_became_of_it(lezer: Browser, night: Night) -> None:
    page = await lezer.get(f"notificaties/{night.failing.id}/")
    assert "Nog niet afgeleverd: poging 3 van 3 gaf status 503. Volgende poging om" in page.text
    assert "Afgeleverd om" in page.text
    assert "Wacht: de callback werkt sinds" in page.text
    assert f'<h1 class="nl-heading nl-heading--level-1 of-object">{ZAAK[-36:]}: zaken' in page.text
    assert "de callback is nu niet beschikbaar" in page.text
    for step in ("Poging 1", "status 503, 38 ms", "Poging 4", "Poging 1: afgeleverd", "Volgende proef"):
        assert step in page.text
    assert f"waarom/?abonnement={night.strict.uuid}" in page.text
    assert "bronorganisatie" in page.text
    assert "handeling/" not in page.text, "a lezer may not"


async def test_why_compares_each_filter_with_each_kenmerk(lezer: Browser, night: Night) -> None:
    page = await lezer.get(f"notificaties/{night.failing.id}/waarom/?abonnement={night.strict.uuid}")
    assert (
        "filter vertrouwelijkheidaanduiding is &#39;Openbaar&#39;, de notificatie heeft &#39;openbaar&#39;"
        in page.text
    )
    assert "verschilt alleen in hoofdletters" in page.text
    assert "alles mag" in page.text
    assert "De filters wijzigt alleen de afnemer zelf (dashboard)" in page.text
    page = await lezer.get(f"notificaties/{night.failing.id}/waarom/?abonnement=archief")
    assert ">gelijk<" in page.text
    page = await lezer.get(f"notificaties/{night.every[4].id}/waarom/?abonnement={night.archief.uuid}")
    assert "deze notificatie is van kanaal documenten" in page.text
    page = await lezer.get(f"notificaties/{night.failing.id}/waarom/?abonnement=zz")
    assert "Er is geen abonnement" in page.text
    page = await lezer.get(f"notificaties/{night.failing.id}/waarom/?abonnement={uuid4()}")
    assert "een abonnement met dit UUID is hier niet (meer)" in page.text


async def test_why_tells_the_state_of_the_abonnement_then(
    served: Served, lezer: Browser, night: Night
) -> None:
    page = await lezer.get(f"notificaties/{night.failing.id}/waarom/?abonnement={night.strict.uuid}")
    assert "Toen de notificatie kwam" in page.text
    assert "actief sinds" in page.text

    mine = await subscribe(served, "toen", {}, "/c")
    now = time.time()
    hold = Hold(now, 0, now + 60)
    url = mine.callback_url
    await served.registry.set_hold(mine.uuid, hold, "timeout: none", before=None, callback_url=url)
    entry = an_entry(mine, ago=0)
    await served.registry.set_hold(mine.uuid, None, "", before=hold, callback_url=url)
    at = int(time.time() * 1000) + 1
    async with ledger_of(served.settings) as ledger:
        await ledger.write([entry, Outcome(Key(entry.id, mine.uuid), State.DELIVERED, 0, 1, at, status=204)])
    page = await lezer.get(f"notificaties/{entry.id}/waarom/?abonnement={mine.uuid}")
    assert "werd het abonnement vastgehouden, want de callback werkte niet" in page.text
    assert "; toen antwoordde de callback weer." in page.text
    assert "vastgehouden sinds" in page.text
    assert "geen antwoord binnen de tijd" in page.text


async def test_hostile_texts_are_texts(lezer: Browser, night: Night) -> None:
    one = f"notificaties/{night.hostile.id}/"
    for path in ("notificaties/", one, f"{one}waarom/?abonnement={night.archief.uuid}"):
        page = await lezer.get(path)
        assert page.status == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text


async def test_half_a_surrogate_is_shown_as_json_has_it(served: Served, lezer: Browser) -> None:
    body = b'{"kanaal": "zaken", "hoofdObject": "https://a.nl/\\ud800", "kenmerken": {"k\\udfff": "\\ud800"}}'
    entry = an_entry(ago=3, resource="half", kanaal="half")
    async with ledger_of(served.settings) as ledger:
        await ledger.write([replace(entry, body=body)])
    for path in (f"notificaties/{entry.id}/", "notificaties/?kanaal=half"):
        page = await lezer.get(path)
        assert page.status == 200
        assert "\\ud800" in page.text


async def test_one_of_which_the_content_is_gone(served: Served, lezer: Browser, night: Night) -> None:
    gone = night.every[40]
    async with ledger_of(served.settings) as ledger:
        later = gone.received + 2 * DAY * 1000
        await ledger.write([an_entry(night.strict, ago=1)])
        await ledger.shed(now=later, bodies_for=1.0, rows_for=90.0 * DAY, counts_for=DAY, budget=10**12)
        found = await ledger.notificatie(gone.id)
        assert found is not None
        assert found.body is None
    page = await lezer.get(f"notificaties/{gone.id}/")
    assert "niet meer bewaard" in page.text
    page = await lezer.get(f"notificaties/{gone.id}/waarom/?abonnement={night.archief.uuid}")
    assert "Niet te vergelijken" in page.text
