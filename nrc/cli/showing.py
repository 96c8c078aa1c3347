"""What commands print: tables for people, JSON for scripts, notes on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import orjson

json_option = click.option("--json", "json_", is_flag=True, help="Print JSON.")

# Wide enough that nothing is cut off or folded when the output goes to a file or another program.
_UNFOLDED = 100_000


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under their columns; when there are none, say `empty` on standard error."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in shown.columns:
        column.overflow = "fold"
    # What one would copy stays in one piece on a narrow terminal too.
    shown.columns[0].no_wrap = True
    for row in rows:
        shown.add_row(*(Text(printable(str(cell))) for cell in row))
    if not shown.row_count:
        note(empty)
        return
    console = Console(width=None if sys.stdout.isatty() else _UNFOLDED, highlight=False)
    with console.capture() as captured:
        console.print(shown)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def printable(text: str) -> str:
    """Text from elsewhere without what would steer a terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def as_json(value: Any) -> None:
    """Print JSON, indented."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def note(line: str) -> None:
    """Say something on standard error, beside a command's output."""
    click.echo(line, err=True)


def moment(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
