"""Chromium, and a page opened in it with what the browser's console says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]
SCHEMES = ("light", "dark")
WIDTHS = (1280, 360)
NARROWEST = 320
TIMEOUT = 20_000  # milliseconds for what a browser does; the machine may be busy


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser that has started, while the context is open."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield started
        finally:
            await started.close()


async def opened(context: BrowserContext, path: str, *, width: int = 1280) -> tuple[Page, list[str]]:
    """The page at this width, and what the browser's console says from now on."""
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.set_viewport_size({"width": width, "height": 900})
    await page.goto(path)
    return page, said
