"""Prints notificaties and their deliveries for people: lines of cells, with sentences below each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import click

from ledger.explaining import Clock
from ledger.explaining.dutch import failure, milliseconds
from ledger.values import ORIGINAL, Attempt, Notificatie
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import printable, terminal_width
from nrc.cli.tracing.account import Told

SHOWN_ATTEMPTS = 10  # of a delivery, the last
_GAP = "  "


def show_notificatie(notificatie: Notificatie, clock: Clock) -> None:
    """Print a notificatie, its client and time, and its whole id, which other commands take."""
    what = f"{notificatie.kanaal}, {notificatie.resource}, {notificatie.actie}"
    head(printable(f"{clock.bare(notificatie.received, '%H:%M:%S')}  {what}  (from {notificatie.client})"))
    click.echo(f"  {notificatie.id}")


def show_told(told: Sequence[Told], clock: Clock, *, wide: bool) -> None:
    """Print each delivery: its abonnement, its failed attempts, and its explanation."""
    if not told:
        sentences("Voor geen enkel abonnement.", indent=2)
        return
    for line, each in zip(heads(_row(each, wide=wide) for each in told), told, strict=True):
        head(line, indent=2)
        _show_attempts(each.attempts, clock)
        sentences(each.explanation.text, indent=4)


def _row(each: Told, *, wide: bool) -> list[object]:
    replay = each.delivery.key.replay if each.delivery is not None else ORIGINAL
    whom = each.abonnement if wide else ids.short(each.abonnement)
    return [whom, each.client or "(removed)", f"replay {replay}" if replay else ""]


def _show_attempts(attempts: Sequence[Attempt], clock: Clock) -> None:
    if (hidden := len(attempts) - SHOWN_ATTEMPTS) > 0:
        click.echo(f"    … {hidden} earlier ones (--json lists all)")
    for each in attempts[-SHOWN_ATTEMPTS:]:
        which = str(each.number) if each.number else "-"
        why = failure(each.kind, each.detail, each.status)
        took = f", {milliseconds(each.ms)}" if each.ms is not None else ""
        sentences(f"{which:>2}  {clock.bare(each.at, '%H:%M:%S')}  {why}{took}", indent=4)


def heads(rows: Iterable[Sequence[object]]) -> list[str]:
    """Each row as one line, with the cells of a column aligned."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def head(line: str, *, indent: int = 0) -> None:
    """Print a line of `heads`, without cutting it."""
    click.echo(" " * indent + click.style(line, bold=True))


def sentences(text: str, *, indent: int = 0, error: bool = False) -> None:
    """Print sentences, wrapped to the terminal; on one line when the output is not a terminal.

    error: on standard error.

    No word is broken, so that a URL can still be copied.
    """
    margin = " " * indent
    width = terminal_width()
    if width is None:
        click.echo(margin + printable(text), err=error)
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
        click.echo(line, err=error)
