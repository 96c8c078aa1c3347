"""A window of a real browser in which somebody is logged in, and what every page of the console must be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, Page

from schemas.user import Role
from tests.browser.chromium import HEIGHT, NARROWEST, TIMEOUT, WIDTHS, shown
from tests.browser.criteria import lost_by_spacing, on_hover_only
from tests.browser.inspecting import findings_in_both, scrolls, shoot
from tests.integration.console.conftest import PASSWORD, Served

LOGIN = "inloggen/"


@asynccontextmanager
async def logged_in_window(
    browser: Browser, served: Served, role: Role, *, javascript: bool = True
) -> AsyncIterator[BrowserContext]:
    """A window, of one tab, in which a user with this role is logged in."""
    window = await browser.new_context(
        base_url=served.root,
        locale="nl-NL",
        java_script_enabled=javascript,
    )
    window.set_default_timeout(TIMEOUT)
    page, _ = await shown(window, LOGIN)
    await page.fill("#naam", role.value)
    await page.fill("#wachtwoord", PASSWORD)
    await page.press("#wachtwoord", "Enter")
    await page.wait_for_url(served.root)
    try:
        yield window
    finally:
        await window.close()


async def check_page(page: Page, said: list[str], name: str) -> None:
    """Assert that axe finds nothing at each width, light or dark, that nothing is lost, and that it is quiet.

    said: by the browser's console. name: of its pictures. The page is left as wide as it was opened.
    """
    wrong: list[str] = []
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        wrong += await findings_in_both(page)
        await shoot(page, f"{name}-{width}")
    await page.set_viewport_size({"width": NARROWEST, "height": HEIGHT})
    if await scrolls(page):
        wrong.append("too wide")
    wrong += await lost_by_spacing(page)
    await page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    wrong += await lost_by_spacing(page)
    wrong += await on_hover_only(page)
    wrong += [line for line in said if "404" not in line]
    assert not wrong, "\n".join(wrong)
