"""The pages in Chromium, and the files that are made of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page

from tools.chromium import chromium
from tools.screenshots.filling import PASSWORD, USER
from tools.screenshots.product import Product

WIDE, HIGH, NARROW, TALL = 1280, 900, 360, 780
MOST = 150_000
"""Bytes of a picture."""
NAMES = (
    "overzicht",
    "overzicht-donker",
    "overzicht-smal",
    "notificatie",
    "waarom",
    "abonnementen",
    "opnieuw",
    "tokens",
    "inbox",
)


async def take(product: Product, inbox: str, to: Path) -> None:
    """Every picture of NAMES, in this folder. inbox: the address of the page of an inbox."""
    filled = product.filled
    one = f"notificaties/{filled.failing}/"
    why = f"notificaties/{filled.unasked}/waarom/?abonnement={filled.kcc}"
    async with chromium("--hide-scrollbars") as browser:
        async with _logged_in(browser, product) as page:
            await _shoot(page, product.console, to / "overzicht.png", high=1080)
            for name, path in (
                ("notificatie", one),
                ("waarom", why),
                ("abonnementen", "abonnementen/"),
                ("opnieuw", "opnieuw/"),
            ):
                await _shoot(page, product.console + path, to / f"{name}.png")
            await page.goto(f"{product.console}tokens/")
            await page.get_by_label("Applicatie").select_option("proef")
            await page.get_by_role("button", name="Token maken").click()
            await page.get_by_text("Het token is gemaakt.").wait_for()
            await page.screenshot(path=to / "tokens.png")
            await _shoot(page, inbox, to / "inbox.png")
        async with _logged_in(browser, product, scheme="dark") as page:
            await _shoot(page, product.console, to / "overzicht-donker.png", high=1080)
        async with _logged_in(browser, product, width=NARROW, height=TALL) as page:
            await _shoot(page, product.console, to / "overzicht-smal.png", high=TALL)


@asynccontextmanager
async def _logged_in(
    browser: Browser, product: Product, *, scheme: str = "light", width: int = WIDE, height: int = HIGH
) -> AsyncIterator[Page]:
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        locale="nl-NL",
        timezone_id="Europe/Amsterdam",
        reduced_motion="reduce",
    )
    context.set_default_timeout(60_000)
    page = await context.new_page()
    try:
        await page.goto(f"{product.console}inloggen/")
        await page.get_by_label("Gebruiker").fill(USER)
        await page.get_by_label("Wachtwoord").fill(PASSWORD)
        await page.get_by_role("button", name="Inloggen").click()
        await page.get_by_role("heading", level=1, name="Overzicht").wait_for()
        yield page
    finally:
        await context.close()


async def _shoot(page: Page, address: str, file: Path, *, high: int = HIGH) -> None:
    """What a window of this height shows of the page; less where the page is less high."""
    await page.goto(address)
    await page.evaluate("document.activeElement?.blur()")
    width = WIDE if page.viewport_size is None else page.viewport_size["width"]
    await page.set_viewport_size({"width": width, "height": high})
    await page.screenshot(path=file)
