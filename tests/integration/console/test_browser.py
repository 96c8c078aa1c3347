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
