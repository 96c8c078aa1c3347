"""A window of a real browser in which somebody is logged in, and what every page of the console must be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, Page

from schemas.user import Role
from tests.browser.chromium import NARROWEST, TIMEOUT, WIDTHS
from tests.browser.inspecting import findings, scheme_of, scrolls, shoot
from tests.integration.console.conftest import PASSWORD, Served

LOGIN = "inloggen/"


@asynccontextmanager
async def logged_in_window(
    browser: Browser, served: Served, role: Role, *, scheme: str = "light", javascript: bool = True
) -> AsyncIterator[BrowserContext]:
    """A window in which a user with this role is logged in."""
    window = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        base_url=served.root,
        locale="nl-NL",
        java_script_enabled=javascript,
    )
    window.set_default_timeout(TIMEOUT)
    page = await window.new_page()
    await page.goto(LOGIN)
    await page.fill("#naam", role.value)
    await page.fill("#wachtwoord", PASSWORD)
    await page.press("#wachtwoord", "Enter")
    await page.wait_for_url(served.root)
    await page.close()
    try:
        yield window
    finally:
        await window.close()


async def check_page(page: Page, said: list[str], name: str) -> None:
    """Assert that axe finds nothing at each width, that it never scrolls sideways, and that it is quiet.

    said: by the browser's console. name: of its pictures. In dark axe looks at colours only.
    """
    scheme = await scheme_of(page)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        assert await findings(page, colours_only=scheme == "dark") == [], width
        await shoot(page, f"{name}-{width}-{scheme}")
    await page.set_viewport_size({"width": NARROWEST, "height": 900})
    assert not await scrolls(page)
    assert [line for line in said if "404" not in line] == []
