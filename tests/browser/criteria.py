"""Criteria of WCAG 2.2 that axe does not look at: text spacing (1.4.12), content on hover or focus (1.4.13).

Each function returns what is wrong, as lines; nothing is wrong with a page for which it returns none.
"""

from __future__ import annotations

from playwright.async_api import Page

# A constructed style sheet: an element <style> is refused by the pages' Content-Security-Policy.
_SPACE_OUT = """(() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: 0.12em !important;
                         word-spacing: 0.16em !important }
                     p { margin-block-end: 2em !important }`);
  document.adoptedStyleSheets = [sheet];
})()"""
_AS_BEFORE = "document.adoptedStyleSheets = []"

# Texts that are cut off by what holds them, stand outside of their button or badge, or over another text.
_LOST = r"""(() => {
  const lost = [], texts = [];
  const said = (node) => node.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
  const inside = (inner, outer) => inner.left >= outer.left - 2 && inner.right <= outer.right + 2
    && inner.top >= outer.top - 2 && inner.bottom <= outer.bottom + 2;
  const seen = (box, parent) => {
    let {left, right, top, bottom} = box;
    for (let each = parent; each && each !== document.body; each = each.parentElement) {
      if (getComputedStyle(each).overflow === "visible") continue;
      const frame = each.getBoundingClientRect();
      left = Math.max(left, frame.left); right = Math.min(right, frame.right);
      top = Math.max(top, frame.top); bottom = Math.min(bottom, frame.bottom);
    }
    return {left, right, top, bottom};
  };
  const unseen = ".hidden, .nl-skip-link, .utrecht-table--stacked thead, select, datalist, noscript";
  const for_hearing = (element) => element.closest(unseen) !== null;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.textContent.trim() || !parent.checkVisibility() || for_hearing(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].map((box) => seen(box, parent))
      .filter((box) => box.right - box.left > 1 && box.bottom - box.top > 1);
    const framed = parent.closest("button, .nl-button, .utrecht-badge-status, summary, .utrecht-alert");
    for (const box of boxes) {
      const whole = !framed || inside(box, framed.getBoundingClientRect());
      if (!whole) lost.push(`outside its frame: ${said(node)}`);
      texts.push([box, node]);
    }
    for (let each = parent; each && each !== document.body; each = each.parentElement) {
      const style = getComputedStyle(each);
      const cut = (overflow) => overflow === "hidden" || overflow === "clip";
      if (cut(style.overflowX) && each.scrollWidth > each.clientWidth + 1
          || cut(style.overflowY) && each.scrollHeight > each.clientHeight + 1) {
        lost.push(`cut off: ${said(node)}`);
      }
    }
  }
  texts.sort((one, other) => one[0].top - other[0].top);
  for (let i = 0; i < texts.length; i++) {
    const [box, node] = texts[i];
    for (let j = i + 1; j < texts.length && texts[j][0].top < box.bottom - 4; j++) {
      const [other, another] = texts[j];
      if (another !== node && other.left < box.right - 2 && other.right > box.left + 2) {
        lost.push(`over each other: ${said(node)} / ${said(another)}`);
      }
    }
  }
  return [...new Set(lost)];
})()"""

# Rules that show or hide something when it is pointed at or has the focus, and texts for a mouse only.
_ON_HOVER = r"""(() => {
  const titled = [...document.querySelectorAll("[title]:not(svg *)")];
  const found = titled.map((each) => `title: ${each.outerHTML}`);
  const shows = ["display", "visibility", "opacity", "content", "clip-path", "position"];
  const look = (rules) => {
    for (const rule of rules) {
      const by = /:(hover|focus)/.test(rule.selectorText ?? "");
      const is_skip_link = (rule.selectorText ?? "").includes(".nl-skip-link");
      const changes = by && !is_skip_link && shows.some((name) => rule.style.getPropertyValue(name));
      if (changes) found.push(rule.cssText);
      if (rule.cssRules?.length) look(rule.cssRules);
    }
  };
  for (const sheet of document.styleSheets) look(sheet.cssRules);
  return found;
})()"""


async def lost_by_spacing(page: Page) -> list[str]:
    """What is lost when a reader sets the text spacing of WCAG 1.4.12; the page is as it was afterwards."""
    await page.evaluate(_SPACE_OUT)
    lost: list[str] = await page.evaluate(_LOST)
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    await page.evaluate(_AS_BEFORE)
    return [*lost, *([f"{wide} pixels too wide"] if wide > 0 else [])]


async def on_hover_only(page: Page) -> list[str]:
    """What a page shows only while it is pointed at or has the focus, but for the skip link."""
    found: list[str] = await page.evaluate(_ON_HOVER)
    return found
