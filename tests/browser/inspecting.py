"""What is wrong with a page: what axe finds, whether it is too wide, what the keyboard does not reach."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Page

AXE = Path(AXE_FILE_PATH).read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ALSO = [
    "target-size",
    "label-content-name-mismatch",
    "css-orientation-lock",
    "td-has-header",
    "table-fake-caption",
]
"""Rules that axe does only when asked for."""
TO_BE_LOOKED_AT: Mapping[str, str] = {}
"""Rules of which axe may leave it to people whether a page is right, with what people saw."""
_CAN_BE_USED = (
    "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary,"
    ' [tabindex="0"]\')].filter(each => each.checkVisibility())'
)
_SHOWS_FOCUS = (
    "(() => { const style = getComputedStyle(document.activeElement);"
    " const box = document.activeElement.getBoundingClientRect();"
    " const at = [[.5, .5], [.1, .1], [.9, .1], [.1, .9], [.9, .9]].map(([x, y]) =>"
    "   document.elementFromPoint(box.left + x * box.width, box.top + y * box.height));"
    " return style.outlineStyle !== 'none' && box.top >= 0 && box.bottom <= innerHeight"
    "   && at.some(each => document.activeElement.contains(each)) })()"
)


async def findings(page: Page) -> list[str]:
    """What axe finds, and what it leaves to people (TO_BE_LOOKED_AT says of what that is known), as lines."""
    if not await page.evaluate("typeof axe !== 'undefined'"):
        await page.evaluate(AXE)
    options = {
        "runOnly": {"type": "tag", "values": RULES},
        "rules": {rule: {"enabled": True} for rule in ALSO},
        "resultTypes": ["violations", "incomplete"],
    }
    found: dict[str, Any] = await page.evaluate(f"axe.run(document, {json.dumps(options)})")
    unknown = [each for each in found["incomplete"] if each["id"] not in TO_BE_LOOKED_AT]
    return [
        f"{each['id']}: {node['html']} {node.get('failureSummary')}"
        for each in (*found["violations"], *unknown)
        for node in each["nodes"]
    ]


async def findings_in_both(page: Page) -> list[str]:
    """What axe finds in light and in dark. The page is left in light."""
    found = await findings(page)
    await page.emulate_media(color_scheme="dark")
    found += [f"in dark: {each}" for each in await findings(page)]
    await page.emulate_media(color_scheme="light")
    return found


async def scrolls(page: Page) -> bool:
    """Whether the page is wider than its window."""
    return bool(
        await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )


async def shoot(page: Page, name: str) -> None:
    """Pictures, where whoever runs the tests asks for these: NRC_TEST_SCREENSHOTS names the folder.

    Of the light page, which is how it is left, and of the dark one.
    """
    if folder := os.environ.get("NRC_TEST_SCREENSHOTS"):
        for scheme in ("dark", "light"):
            await page.emulate_media(color_scheme=scheme)
            await page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)


async def check_keyboard(page: Page, *, also: str = "") -> None:
    """Fail unless Tab reaches all that can be used, and what has the focus is seen, marked and not covered.

    also: JavaScript for which elements of these another key reaches, such as the second of two radio buttons.
    """
    skipped = f"{_CAN_BE_USED}.filter(each => !(({also})(each)))" if also else _CAN_BE_USED
    wanted = await page.evaluate(f"{skipped}.length")
    reached = set()
    for _ in range(wanted + 2):
        await page.keyboard.press("Tab")
        at, shown = await page.evaluate(f"[{skipped}.indexOf(document.activeElement), {_SHOWS_FOCUS}]")
        if at >= 0:
            reached.add(at)
            assert shown, await page.evaluate("document.activeElement.outerHTML")
    assert reached == set(range(wanted))
