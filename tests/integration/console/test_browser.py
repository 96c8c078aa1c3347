"""Every page in a real browser: what axe finds, what the console of the browser says, widths, the keyboard.

Debian's Chromium, with playwright. A page joins by being in PAGES.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext

from console.pages import PAGES
from schemas.user import Role
from tests.browser.chromium import shown
from tests.browser.inspecting import check_keyboard
from tests.integration.console.conftest import PASSWORD, Served
from tests.integration.console.windows import LOGIN, check_page, logged_in_window

QUERIES = {"applicaties/een/": "?id=zac"}
PATHS = [
    LOGIN,
    "nothing/",
    *(page.path + QUERIES.get(page.path, "") for page in PAGES if "{" not in page.path),
]


@pytest.fixture(scope="module")
async def context(browser: Browser, served: Served) -> AsyncIterator[BrowserContext]:
    """A browser's window in which the admin is logged in."""
    async with logged_in_window(browser, served, Role.ADMIN) as window:
        yield window


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_is_accessible_and_quiet_and_the_keyboard_reaches_everything(
    context: BrowserContext, path: str
) -> None:
    page, said = await shown(context, path)
    await check_page(page, said, path.partition("?")[0].strip("/").replace("/", "-") or "overzicht")
    await check_keyboard(page)


async def test_on_a_narrow_screen_the_menu_opens_without_javascript(browser: Browser, served: Served) -> None:
    async with logged_in_window(browser, served, Role.LEZER, javascript=False) as window:
        page = window.pages[0]
        await page.set_viewport_size({"width": 360, "height": 760})
        header = await page.locator("header.top").bounding_box()
        assert header is not None
        assert header["height"] < 90
        await page.click("summary:has-text('Menu')")
        await page.get_by_role("link", name="Notificaties", exact=True).click()
        assert page.url == f"{served.root}notificaties/"


async def test_without_javascript_one_logs_in_and_out(browser: Browser, served: Served) -> None:
    context = await browser.new_context(java_script_enabled=False, base_url=served.root)
    page = await context.new_page()
    await page.goto("account/")
    await page.fill("#naam", Role.LEZER.value)
    await page.fill("#wachtwoord", "wrong")
    await page.click("text=Inloggen >> nth=-1")
    assert "klopt niet" in await page.inner_text("[role=alert]")
    await page.fill("#wachtwoord", PASSWORD)
    await page.press("#wachtwoord", "Enter")
    assert page.url == f"{served.root}account/"
    await page.click("text=Uitloggen >> nth=0")
    assert page.url == f"{served.root}inloggen/"
    await context.close()


async def test_one_logs_in_by_pasting_and_types_no_name_twice(browser: Browser, served: Served) -> None:
    """WCAG 3.3.7 and 3.3.8: what a password manager or the clipboard has is enough."""
    context = await browser.new_context(
        base_url=served.root, permissions=["clipboard-read", "clipboard-write"]
    )
    page, said = await shown(context, LOGIN)
    name, password = page.locator("#naam"), page.locator("#wachtwoord")
    assert await name.get_attribute("autocomplete") == "username"
    assert await password.get_attribute("autocomplete") == "current-password"
    assert await password.get_attribute("type") == "password"
    await name.fill(Role.LEZER.value)
    await password.fill("wrong")
    await password.press("Enter")
    await page.wait_for_selector("[role=alert]")
    assert await name.input_value() == Role.LEZER.value
    await page.evaluate("text => navigator.clipboard.writeText(text)", PASSWORD)
    await password.focus()
    await page.keyboard.press("Control+V")
    assert await password.input_value() == PASSWORD
    await password.press("Enter")
    await page.wait_for_url(served.root)
    assert [line for line in said if "40" not in line] == []
    await context.close()
