"""The colours of the house style: enough contrast, in light and in dark (WCAG 1.4.3 and 1.4.11)."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

PAPERS = ("paper", "raised")
TEXTS = {
    "ink": (*PAPERS, "good-paper", "warn-paper", "bad-paper", "info-paper"),
    "ink-soft": PAPERS,
    "link": (*PAPERS, "good-paper", "warn-paper", "bad-paper", "info-paper"),
    "brand": PAPERS,
    "brand-strong": PAPERS,
    "on-brand": ("brand", "brand-strong"),
    "good": ("good-paper",),
    "warn": ("warn-paper",),
    "bad": ("bad-paper",),
}
LINES = {
    "field-line": PAPERS,
    "focus": (*PAPERS, "warn-paper", "bad-paper"),
    "brand": PAPERS,
    "good": ("paper",),
    "bad": PAPERS,
    "warn": ("paper",),
    "ink": PAPERS,
}
"""Borders of fields and buttons, the focus, and what charts and timelines are drawn with."""


def colours(scheme: str) -> dict[str, str]:
    """Of the house style, by name without its prefix."""
    text = (files("console") / "static" / "huisstijl.css").read_text()
    light, _, rest = text.partition("@media (prefers-color-scheme: dark)")
    pattern = re.compile(r"--nrc-([a-z-]+): (#[0-9a-f]{6});")
    found = dict(pattern.findall(light))
    if scheme == "dark":
        found |= dict(pattern.findall(rest.partition("\n}\n")[0]))
    return found


def luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 to 21."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_pair_of_colours_has_enough_contrast(scheme: str) -> None:
    of = colours(scheme)
    assert len(of) > 15
    low = [
        f"{front} on {back}: {contrast(of[front], of[back]):.2f}, not {least}"
        for least, pairs in ((4.5, TEXTS), (3.0, LINES))
        for front, backs in pairs.items()
        for back in backs
        if contrast(of[front], of[back]) < least
    ]
    assert low == []
