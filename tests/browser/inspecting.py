"""What is wrong with a page: what axe finds, whether it is too wide, what the keyboard does not reach."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Page

AXE = Path(AXE_FILE_PATH).read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_CAN_BE_USED = (
    "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary,"
    ' [tabindex="0"]\')].filter(each => each.checkVisibility())'
)
_SHOWS_FOCUS = (
    "(() => { const style = getComputedStyle(document.activeElement);"
    " const box = document.activeElement.getBoundingClientRect();"
    " return style.outlineStyle !== 'none' && box.top >= 0 && box.bottom <= innerHeight })()"
)


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


async def scheme_of(page: Page) -> str:
    """`light` or `dark`, as the page is shown."""
    return "dark" if await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"


async def shoot(page: Page, name: str) -> None:
    """A picture, where whoever runs the tests asks for these: NRC_TEST_SCREENSHOTS names the folder."""
    if folder := os.environ.get("NRC_TEST_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


async def check_keyboard(page: Page, *, also: str = "") -> None:
    """Fail unless Tab reaches all that can be used, and what has the focus is in sight and marked.

    also: JavaScript for which elements of these another key reaches, such as the second of two radio buttons.
    """
    skipped = f"{_CAN_BE_USED}.filter(each => !(({also})(each)))" if also else _CAN_BE_USED
    wanted = await page.evaluate(f"{skipped}.length")
    reached = set()
    for _ in range(wanted + 2):
        await page.keyboard.press("Tab")
        at = await page.evaluate(f"{skipped}.indexOf(document.activeElement)")
        if at >= 0:
            reached.add(at)
            assert await page.evaluate(_SHOWS_FOCUS), await page.evaluate("document.activeElement.outerHTML")
    assert reached == set(range(wanted))
