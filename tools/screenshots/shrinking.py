"""A PNG with at most 256 colours in place of one with 24 or 32 bits a pixel: a third of its size. Pure.

Pages have few colours; those beyond the 256 most common are in the edges of letters, and become the nearest
one. Reads what Chromium writes (8 bits a channel, not interlaced), and nothing else.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 256
_CHANNELS = {2: 3, 6: 4}  # by PNG's colour type: RGB, RGBA

Colour = tuple[int, int, int]


def shrunk(png: bytes) -> bytes:
    """The same picture, smaller. Raises ValueError for a PNG of another kind."""
    width, height, rows = _read(png)
    counted: Counter[Colour] = Counter()
    for row in rows:
        counted.update(row)
    palette = [colour for colour, _ in counted.most_common(COLOURS)]
    index = _nearest(counted, palette)
    lines = b"".join(b"\0" + bytes(index[colour] for colour in row) for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", bytes(value for colour in palette for value in colour)),
            _chunk(b"IDAT", zlib.compress(lines, 9)),
            _chunk(b"IEND", b""),
        )
    )


def size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _read(png: bytes) -> tuple[int, int, list[list[Colour]]]:
    chunks = dict[bytes, bytes]()
    for kind, data in _chunks(png):
        chunks[kind] = chunks.get(kind, b"") + data
    width, height, depth, kind_of_colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    channels = _CHANNELS.get(kind_of_colour)
    if depth != 8 or channels is None or interlaced:
        raise ValueError("this is no PNG as Chromium writes it")
    raw, stride, rows = zlib.decompress(chunks[b"IDAT"]), width * channels, list[list[Colour]]()
    above = bytes(stride)
    for start in range(0, height * (stride + 1), stride + 1):
        above = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, channels)
        rows.append(list(zip(above[::channels], above[1::channels], above[2::channels], strict=True)))
    return width, height, rows


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


def _unfiltered(kind: int, line: bytearray, above: bytes, channels: int) -> bytes:
    """A line without its filter (PNG 1.2, section 6)."""
    if kind == 2:
        return bytes((one + other) & 255 for one, other in zip(line, above, strict=True))
    if kind:
        for at, up in enumerate(above):
            left = line[at - channels] if at >= channels else 0
            corner = above[at - channels] if at >= channels else 0
            line[at] = (line[at] + _predicted(kind, left, up, corner)) & 255
    return bytes(line)


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    match kind:
        case 1:
            return left
        case 3:
            return (left + up) // 2
    towards = left + up - corner
    return min((left, up, corner), key=lambda each: abs(towards - each))


def _nearest(counted: Mapping[Colour, int], palette: list[Colour]) -> dict[Colour, int]:
    """The place in the palette of the colour nearest to each."""
    known = {colour: place for place, colour in enumerate(palette)}
    for colour in counted:
        if colour not in known:
            known[colour] = min(range(len(palette)), key=lambda place: _apart(colour, palette[place]))
    return known


def _apart(one: Colour, other: Colour) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
