"""What looks at pages finds what is wrong: a page on which everything is, and one on which nothing is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page

from tests.browser.criteria import lost_by_spacing, on_hover_only
from tests.browser.inspecting import check_keyboard, findings

WELL = """<!DOCTYPE html><html lang="nl"><head>
<title>Goed</title><style>p { margin: 1em 0 }</style></head><body><main><h1>Goed</h1>
<p>Een alinea met een <a href="#x">link in een zin</a>.</p>
<button style="min-height: 40px">Doe iets</button></main></body></html>"""
STYLE = """<style>
.cut { height: 20px; overflow: hidden; white-space: nowrap; width: 160px; line-height: 18px; font-size: 16px }
.frame { width: 80px; white-space: nowrap; border: 0; padding: 0; height: 40px }
.tip { display: none } .held:hover .tip { display: block }
.over { position: fixed; inset: 0; z-index: 9; background: white }
.small { width: 12px; height: 12px; padding: 0; font-size: 6px; display: block; border: 0; margin: 0 }
</style>"""


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


async def test_nothing_is_found_where_nothing_is_wrong(page: Page) -> None:
    await page.set_content(WELL)
    assert await findings(page) == []
    assert await lost_by_spacing(page) == []
    assert await on_hover_only(page) == []
    await check_keyboard(page)


async def test_what_is_wrong_is_found(page: Page) -> None:
    await page.set_content(
        WELL.replace("</head>", f"{STYLE}</head>").replace(
            "</main>",
            """<div class="cut">Deze regel past net in de ruimte</div>
            <p class="held" title="alleen voor een muis">Wijs aan<span class="tip">een uitleg</span></p>
            <button class="frame">Een opschrift</button>
            <button aria-label="Anders">Zichtbaar opschrift</button>
            <button class="small">a</button><button class="small">b</button>
            <p style="color: #aaa; background: #fff">te licht</p>
            <p style="background-image: linear-gradient(#fff, #000)">op een verloop</p></main>""",
        )
    )
    found = "\n".join(await findings(page))
    for rule in ("target-size", "label-content-name-mismatch", "color-contrast"):
        assert f"{rule}: " in found, rule
    assert "op een verloop" in found, "what axe leaves to people"
    lost = "\n".join(await lost_by_spacing(page))
    assert "cut off: Deze regel past net" in lost
    assert "outside its frame: Een opschrift" in lost
    hovered = await on_hover_only(page)
    assert any(each.startswith("title: ") for each in hovered)
    assert any(".held:hover .tip" in each for each in hovered)


async def test_texts_that_come_to_stand_over_each_other_are_found(page: Page) -> None:
    await page.set_content(
        WELL.replace(
            "</main>",
            "<div style='position: relative; height: 30px'><b>Een kop</b>"
            "<i style='position: absolute; left: 10px; top: 0'>erover</i></div></main>",
        )
    )
    assert any(each.startswith("over each other: ") for each in await lost_by_spacing(page))


async def test_a_focus_that_is_covered_is_found(page: Page) -> None:
    await page.set_content(
        WELL.replace("</head>", f"{STYLE}</head>").replace("</main>", "</main><div class=over></div>")
    )
    with pytest.raises(AssertionError):
        await check_keyboard(page)
