"""How what became of notificaties is laid out: lines of cells, and what is told below each, in sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import click

from nrc.cli.showing import printable, terminal_width

_GAP = "  "


def heads(rows: Iterable[Sequence[object]]) -> list[str]:
    """Each row as one line, with its cells below each other."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def head(line: str, *, indent: int = 0) -> None:
    """Print a line of `heads`; nothing of it is cut."""
    click.echo(" " * indent + click.style(line, bold=True))


def sentences(text: str, *, indent: int) -> None:
    """Print sentences over the width of the terminal; on one line where the output goes elsewhere.

    No word is broken, so that a URL can still be copied.
    """
    margin = " " * indent
    width = terminal_width()
    if width is None:
        click.echo(margin + printable(text))
        return
    wrapped = textwrap.wrap(
        printable(text),
        max(width, 40),
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in wrapped:
        click.echo(line)
