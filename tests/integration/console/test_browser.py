"""Every page in a real browser: what axe finds, what the console of the browser says, widths, the keyboard.

Debian's Chromium, with playwright. A page joins by being in PAGES.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from console.pages import PAGES
from schemas.user import Role
from tests.integration.console.conftest import PASSWORD, Served

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]
AXE = Path(AXE_FILE_PATH).read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOGIN = "inloggen/"
PATHS = [LOGIN, "nothing/", *(page.path for page in PAGES if "{" not in page.path)]
WIDTHS = (1280, 360)
NARROWEST = 320


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        await started.close()


@pytest.fixture(scope="module", params=["light", "dark"])
async def context(
    request: pytest.FixtureRequest, browser: Browser, served: Served
) -> AsyncIterator[BrowserContext]:
    """A browser's window in which the admin is logged in."""
    opened = await browser.new_context(color_scheme=request.param, base_url=served.root, locale="nl-NL")
    # Only for axe, which is put into the page from outside: the pages' own policy is tested in test_login.py.
    opened.set_default_timeout(20_000)
    page = await opened.new_page()
    await page.goto(LOGIN)
    await page.fill("#naam", Role.ADMIN.value)
    await page.fill("#wachtwoord", PASSWORD)
    await page.press("#wachtwoord", "Enter")
    await page.wait_for_url(served.root)
    await page.close()
    yield opened
    await opened.close()


async def opened(context: BrowserContext, path: str, *, width: int = 1280) -> tuple[Page, list[str]]:
    """The page at this width, and what the browser's console says."""
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.set_viewport_size({"width": width, "height": 900})
    await page.goto(path)
    return page, said


async def findings(page: Page) -> list[str]:
    """What axe finds, as lines."""
    await page.evaluate(AXE)
    options = json.dumps({"runOnly": {"type": "tag", "values": RULES}})
    found: dict[str, Any] = await page.evaluate(f"axe.run(document, {options})")
    return [
        f"{each['id']}: {node['html']} {node.get('failureSummary')}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


async def scrolls(page: Page) -> bool:
    """Whether the page is wider than its window."""
    return bool(
        await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )


async def shoot(page: Page, name: str) -> None:
    """A picture, where whoever runs the tests asks for these."""
    if folder := os.environ.get("NRC_TEST_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_is_accessible_and_quiet(
    context: BrowserContext, path: str, request: pytest.FixtureRequest
) -> None:
    page, said = await opened(context, path)
    scheme = "dark" if await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        assert await findings(page) == [], width
        await shoot(page, f"{path.strip('/').replace('/', '-') or 'overzicht'}-{width}-{scheme}")
    await page.set_viewport_size({"width": NARROWEST, "height": 900})
    assert not await scrolls(page)
    assert [line for line in said if "404" not in line] == []
    await page.close()


@pytest.mark.parametrize("path", PATHS)
async def test_the_keyboard_reaches_everything(context: BrowserContext, path: str) -> None:
    page, _ = await opened(context, path)
    can_be_used = (
        "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary,"
        ' [tabindex="0"]\')].filter(each => each.checkVisibility())'
    )
    wanted = await page.evaluate(f"{can_be_used}.length")
    reached = set()
    for _ in range(wanted + 2):
        await page.keyboard.press("Tab")
        at = await page.evaluate(f"{can_be_used}.indexOf(document.activeElement)")
        if at >= 0:
            reached.add(at)
            shown = await page.evaluate(
                "(() => { const style = getComputedStyle(document.activeElement);"
                " const box = document.activeElement.getBoundingClientRect();"
                " return style.outlineStyle !== 'none' && box.top >= 0 && box.bottom <= innerHeight })()"
            )
            assert shown, await page.evaluate("document.activeElement.outerHTML")
    assert reached == set(range(wanted))
    await page.close()


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
