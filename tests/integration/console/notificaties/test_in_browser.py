"""Pages of notificaties in a real browser: axe, widths, the keyboard, hostile texts, what comes live."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext, expect

from ledger.opening import ledger_of
from ledger.values import State
from schemas.user import Role
from tests.browser.chromium import NARROWEST, TIMEOUT, shown
from tests.browser.inspecting import check_keyboard, findings_in_both, shoot
from tests.integration.console.conftest import Served
from tests.integration.console.notificaties.night import HOSTILE, ZAAK, Night, an_entry, delivered, failed
from tests.integration.console.windows import check_page, logged_in_window

expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="module")
async def context(browser: Browser, served: Served, night: Night) -> AsyncIterator[BrowserContext]:
    async with logged_in_window(browser, served, Role.BEHEERDER) as window:
        yield window


def path_of(night: Night, name: str) -> str:
    """The address of a page, by what it shows."""
    one = f"notificaties/{night.failing.id}/"
    return {
        "found": "notificaties/?kanaal=zaken&kenmerk=zaaktype%3Dbezwaar&toestand=open&toestand=undeliverable",
        "fault": "notificaties/?sinds=straks&kenmerk=zaaktype&toestand=weg&abonnement=zz",
        "missing": f"notificaties/?zoek={ZAAK[:-3]}999",
        "page": f"notificaties/?na={night.every[40].id}",
        "one": one,
        "hostile": f"notificaties/{night.hostile.id}/",
        "undeliverable": f"notificaties/{night.every[3].id}/",
        "nobody": f"notificaties/{night.every[4].id}/",
        "why-choose": f"{one}waarom/",
        "why": f"{one}waarom/?abonnement={night.strict.uuid}",
        "why-held": f"{one}waarom/?abonnement=geo",
        "why-hostile": f"notificaties/{night.hostile.id}/waarom/?abonnement={night.archief.uuid}",
        "now": f"{one}handeling/?doen=nu&abonnement={night.archief.uuid}",
        "drop": f"{one}handeling/?doen=schrappen",
        "again": f"{one}handeling/?doen=opnieuw&abonnement={night.strict.uuid}",
        "cannot": f"{one}handeling/?doen=opnieuw&abonnement={night.held.uuid}",
    }[name]


NAMES = (
    *("found", "fault", "missing", "page", "one", "hostile", "undeliverable", "nobody"),
    *("why-choose", "why", "why-held", "why-hostile", "now", "drop", "again", "cannot"),
)


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_is_accessible_and_quiet(context: BrowserContext, night: Night, name: str) -> None:
    page, said = await shown(context, path_of(night, name))
    await check_page(page, said, f"notificaties-{name}")
    await check_keyboard(page)


async def test_at_400_percent_nothing_covers_what_has_the_focus(
    browser: Browser, served: Served, night: Night
) -> None:
    async with logged_in_window(browser, served, Role.BEHEERDER) as window:
        page, _ = await shown(window, "notificaties/?kanaal=zaken")
        await page.set_viewport_size({"width": NARROWEST, "height": 256})  # 1280 by 1024 at 400 %
        await check_keyboard(page)


async def test_with_the_keyboard_alone_a_retry_is_dropped_after_it_was_asked_why(
    context: BrowserContext, served: Served, night: Night
) -> None:
    entry = an_entry(night.zac, night.archief, ago=20, resource="toetsenbord")
    async with ledger_of(served.settings) as ledger:
        await ledger.write([entry])
        await ledger.write(
            failed(
                entry, night.archief.uuid, 2, "timeout", "no answer", None, state=State.RETRYING, wait=300.0
            )
        )
    page, said = await shown(context, "notificaties/")
    await page.get_by_label("Object, resource of notificatie").focus()
    await page.keyboard.type(str(entry.id))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        f"{ZAAK[-36:]}: zaken · toetsenbord · create"
    )
    drop = page.get_by_role("link", name="Schrappen (naar archief)")
    await drop.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Schrappen")
    await page.get_by_label("Reden").focus()
    await page.keyboard.type("dubbel gestuurd")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("De aflevering is geschrapt.")
    assert await findings_in_both(page) == []
    assert said == []


async def test_what_comes_is_put_at_the_top_while_it_is_followed(
    context: BrowserContext, served: Served, night: Night
) -> None:
    page, said = await shown(context, "notificaties/?kanaal=live")
    await expect(page.get_by_text("Er is geen notificatie die aan dit alles voldoet.")).to_be_visible()
    await page.get_by_role("button", name="Live volgen").press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("Live")
    entry = an_entry(night.zac, ago=0, kanaal="live", client=HOSTILE, resource=HOSTILE)
    async with ledger_of(served.settings) as ledger:
        await ledger.write([entry, an_entry(ago=0, kanaal="another")])
        row = page.locator(f"#n-{entry.id}")
        await expect(row).to_contain_text(HOSTILE)
        await expect(row).to_contain_text("1 in de wachtrij")
        assert await row.locator("script, img").count() == 0
        await ledger.write([delivered(entry, night.zac.uuid)])
        await expect(row).to_contain_text("1 afgeleverd")
    assert await page.locator("tbody tr").count() == 1
    assert await findings_in_both(page) == []
    await shoot(page, "notificaties-live-1280")
    await page.get_by_role("button", name="Live volgen stoppen").press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Gestopt; er kwamen er 1 bij.")
    assert said == []


async def test_a_hidden_tab_has_no_stream(context: BrowserContext, night: Night) -> None:
    page, _ = await shown(context, "notificaties/?kanaal=documenten")
    await page.get_by_role("button", name="Live volgen").click()
    await expect(page.get_by_role("status")).to_contain_text("Live")
    hide = """(hidden) => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    await page.evaluate(hide, True)
    await expect(page.get_by_role("status")).to_contain_text("Gepauzeerd")
    await page.evaluate(hide, False)
    await expect(page.get_by_role("status")).to_contain_text("Live")


async def test_without_javascript_all_is_there(browser: Browser, served: Served, night: Night) -> None:
    async with logged_in_window(browser, served, Role.BEHEERDER, javascript=False) as window:
        page, _ = await shown(window, "notificaties/")
        await expect(page.get_by_role("button", name="Live volgen")).to_be_hidden()
        await page.get_by_role("link", name="Vernieuwen").click()
        await page.get_by_text("Meer zoekvelden").click()
        await page.get_by_label("Actie").fill("partial_update")
        await page.get_by_role("button", name="Zoeken").last.click()
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.locator("tbody a").click()
        await page.get_by_role("link", name="Waarom niet naar dashboard?").click()
        await expect(page.get_by_text("verschilt alleen in hoofdletters").first).to_be_visible()
