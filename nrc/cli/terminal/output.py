"""Prints tables for people, JSON for scripts, and notes on standard error."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any
from unicodedata import combining, east_asian_width

import click
import orjson

from ledger.explaining.dutch import Clock
from operating.plain_text import moment as moment
from operating.plain_text import printable as printable

_GAP = "  "

json_option = click.option("--json", "json_", is_flag=True, help="Print JSON.")

wide_option = click.option("--wide", is_flag=True, help="Print whole ids and every column, however wide.")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    least: the characters to which its cells may be cut on a narrow terminal; None: never. wide: only with
    --wide. folds: its cells are wrapped over several lines. spare: left out when a row does not fit.
    """

    name: str
    least: int | None = None
    wide: bool = False
    folds: bool = False
    spare: bool = False


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[object]], *, empty: str, wide: bool = False
) -> None:
    """Print rows under their columns; when there are none, print `empty` on standard error.

    Rows fit the terminal: cells that are cut end in `…`, and empty columns are left out. Nothing is cut with
    `wide`, or when the output goes to a file or another program.
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if not cells:
        note(empty)
        return
    shown = [
        index
        for index, column in enumerate(columns)
        if wide or (not column.wide and any(row[index] for row in cells))
    ]
    room = None if wide else terminal_width()
    kept = [columns[index] for index in shown]
    lines = [[column.name for column in kept], *([row[index] for index in shown] for row in cells)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    if room is not None:
        widths = _fitted(widths, kept, room)
        if _over(widths, room) > 0 and any(column.spare for column in kept):
            needed = [index for index in shown if not columns[index].spare]
            table(
                [columns[index] for index in needed],
                ([row[index] for index in needed] for row in cells),
                empty=empty,
            )
            return
    for number, line in enumerate(lines):
        for text in _laid_out(line, widths, kept):
            click.echo(text if number else click.style(text, bold=True))


def terminal_width() -> int | None:
    """The characters on a line of the terminal; None when the output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _fitted(widths: list[int], columns: Sequence[Column], room: int) -> list[int]:
    """The widths after cutting the widest columns that may be cut, until a row fits."""
    least = [
        width if column.least is None else min(width, max(column.least, len(column.name)))
        for width, column in zip(widths, columns, strict=True)
    ]
    left = list(widths)
    over = _over(left, room)
    while over > 0:
        widest = max(range(len(left)), key=lambda index: (left[index] > least[index], left[index]))
        if left[widest] <= least[widest]:
            break
        left[widest] -= 1
        over -= 1
    return left


def _over(widths: Sequence[int], room: int) -> int:
    """By how many characters a row is too wide."""
    return sum(widths) + len(_GAP) * (len(widths) - 1) - room


def _laid_out(cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> Iterator[str]:
    """The lines of one row."""
    blocks = [
        _folded(cell, width) if column.folds else [_cut(cell, width)]
        for cell, width, column in zip(cells, widths, columns, strict=True)
    ]
    for line in zip_longest(*blocks, fillvalue=""):
        padded = (text + " " * (width - _width(text)) for text, width in zip(line, widths, strict=True))
        yield _GAP.join(padded).rstrip()


def _folded(text: str, width: int) -> list[str]:
    """The text in lines; no word is broken, so that a path can still be copied."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _width(text: str) -> int:
    """The columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def as_json(value: Any) -> None:
    """Print JSON, indented."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def note(line: str) -> None:
    """Print a line on standard error, beside a command's output."""
    click.echo(line, err=True)


def shown(seconds: float) -> str:
    """A moment for people, by the clock of Europe/Amsterdam: `08:55:48`, `28-10 08:55:48`.

    seconds: Unix seconds. Output for programs has `moment`.
    """
    return Clock(round(time.time() * 1000)).bare(round(seconds * 1000), "%H:%M:%S")


def took(ms: float) -> str:
    """How long something took: `38 ms`, `1.2 s`, `12m`."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s" if ms < 60_000 else age(ms / 1000)


def age(seconds: float) -> str:
    """A duration in its largest whole unit: `45s`, `12m`, `3h`, `5d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(seconds, 0))}s"
