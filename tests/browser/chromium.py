"""A page that is opened in Chromium, with what the browser's console says."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from playwright.async_api import BrowserContext, Page

WIDTHS = (1280, 360)
HEIGHT = 900
NARROWEST = 320
TIMEOUT = 20_000  # milliseconds for what a browser does; the machine may be busy


async def opened(context: BrowserContext, path: str) -> tuple[Page, list[str]]:
    """The page in another tab, and what the browser's console says from now on."""
    return await _at(await context.new_page(), path)


async def shown(context: BrowserContext, path: str) -> tuple[Page, list[str]]:
    """The same in the window's first tab, in place of what it showed: another takes a second of a core."""
    return await _at(context.pages[0] if context.pages else await context.new_page(), path)


async def _at(page: Page, path: str) -> tuple[Page, list[str]]:
    said = _said.get(page)
    if said is None:
        said = _said[page] = []
        page.on("console", lambda message: _said[page].append(message.text))
        page.on("pageerror", lambda error: _said[page].append(str(error)))
    await page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    said.clear()
    await page.goto(path)
    return page, said


_said: WeakKeyDictionary[Page, list[str]] = WeakKeyDictionary()
