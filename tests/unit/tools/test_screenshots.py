"""The pictures of docs/images/: each is there, small, shown and described; and how they are made small."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import pytest

from tools.screenshots import shrinking
from tools.screenshots.shrinking import SIGNATURE, shrunk, size
from tools.screenshots.taking import MOST, NAMES, NARROW, WIDE

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "docs" / "images"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
Colour = tuple[int, int, int]


def shown(page: Path) -> list[tuple[Path, str | None]]:
    """(file, text in its place) of every picture; the text is None where another element has it."""
    text = page.read_text()
    found: list[tuple[str, str | None]] = [
        (path, alt) for alt, path in re.findall(r"!\[(.*?)\]\((.+?)\)", text)
    ]
    for tag in re.findall(r"<img .*?>", text):
        named = dict(re.findall(r'(\w+)="(.*?)"', tag))
        found.append((named["src"], named.get("alt", "")))
    found += [(path, None) for path in re.findall(r'srcset="(.+?)"', text)]
    return [(page.parent / path, alt) for path, alt in found]


def test_every_picture_is_there_and_described_and_none_is_left_over() -> None:
    used = [each for page in PAGES for each in shown(page)]
    for file, alt in used:
        assert file.is_file(), "make screenshots"
        assert alt is None or len(alt) > 30, file
    assert {file.resolve() for file, _ in used} == {IMAGES / f"{name}.png" for name in NAMES}
    assert {file.name for file in IMAGES.iterdir()} == {f"{name}.png" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small_and_as_wide_as_a_page_is_looked_at(name: str) -> None:
    content = (IMAGES / f"{name}.png").read_bytes()
    assert len(content) < MOST
    assert size(content)[0] == (NARROW if name.endswith("-smal") else WIDE)


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("channels", [3, 4])
def test_of_few_colours_every_pixel_stays_whatever_its_line_s_filter(kind: int, channels: int) -> None:
    rows = [[(x * 9 % 256, y * 31 % 256, (x + y) % 3) for x in range(7)] for y in range(4)]
    assert pixels(shrunk(png(rows, channels, kind))) == rows


def test_a_rare_colour_becomes_the_nearest_common_one() -> None:
    common = [(each, 0, 0) for each in range(256)]
    found = pixels(shrunk(png([[*common, (7, 9, 0)], [*common, (0, 0, 0)]], 3, 0)))
    assert found[0] == [*common, (7, 0, 0)]


def test_another_kind_of_png_is_refused() -> None:
    with pytest.raises(ValueError, match="as Chromium writes it"):
        shrunk(shrunk(png([[(0, 0, 0)]], 3, 0)))


def png(rows: list[list[Colour]], channels: int, kind: int) -> bytes:
    """With lines of this filter (PNG 1.2, section 6)."""
    raw, above = b"", bytes(len(rows[0]) * channels)
    for row in rows:
        line = b"".join(bytes((*colour, 255)[:channels]) for colour in row)
        raw += bytes([kind]) + bytes(
            (one - guess) & 255 for one, guess in zip(line, guesses(kind, line, above, channels), strict=True)
        )
        above = line
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2 if channels == 3 else 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def guesses(kind: int, line: bytes, above: bytes, channels: int) -> list[int]:
    found = []
    for at in range(len(line)):
        left = line[at - channels] if at >= channels else 0
        up, corner = above[at], above[at - channels] if at >= channels else 0
        towards = left + up - corner
        nearest = min(
            (abs(towards - left), 0, left), (abs(towards - up), 1, up), (abs(towards - corner), 2, corner)
        )
        found.append((0, left, up, (left + up) // 2, nearest[2])[kind])
    return found


def pixels(content: bytes) -> list[list[Colour]]:
    """Of a PNG with a palette and lines without a filter."""
    chunks = dict(shrinking._chunks(content))
    width, height = size(content)
    palette, raw = chunks[b"PLTE"], zlib.decompress(chunks[b"IDAT"])
    colours = [(palette[at], palette[at + 1], palette[at + 2]) for at in range(0, len(palette), 3)]
    lines = [raw[at + 1 : at + 1 + width] for at in range(0, height * (width + 1), width + 1)]
    return [[colours[each] for each in line] for line in lines]
