"""`python -m bench capacity`: the tables of docs/capacity.md, or what a demand of your own needs."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

from bench.capacity.model import EXAMPLES, Demand, table

PAGE = Path("docs/capacity.md")
BEGIN, END = "<!-- Made by `make docs`. -->\n", "<!-- End of what is made. -->\n"


def with_table(page: str) -> str:
    """The document with the table of its examples as the model has them now."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} lacks the marks {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n{table(EXAMPLES)}\n{end}{after}"


def capacity(options: argparse.Namespace) -> None:
    """Without `--per-day` the examples of the document; with `--write` these go into it."""
    if options.write:
        PAGE.write_text(with_table(PAGE.read_text()))
        return
    if options.per_day is None:
        print(table(EXAMPLES), end="")
        return
    given = {each.name: getattr(options, each.name, None) for each in fields(Demand)}
    if options.abonnementen == 1:  # the default of all benchmarks
        del given["abonnementen"]
    known = {name: value for name, value in given.items() if value is not None}
    print(table((replace(Demand("yours", options.per_day), **known),)), end="")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of a demand. What is not given is as in `Demand`."""
    asked = parser.add_argument_group("capacity, of what is to be borne")
    asked.add_argument("--per-day", type=float, help="notificaties; 10e6 is ten million")
    asked.add_argument("--peak", type=float, help="the busiest second, times the mean")
    asked.add_argument("--fan-out", type=float, help="abonnementen that get one, on average")
    asked.add_argument("--callback", type=float, metavar="SECONDS", help="until a callback answers")
    asked.add_argument("--body", type=int, help="bytes")
    asked.add_argument("--rows", type=float, help="days that the ledger keeps rows")
    asked.add_argument("--bodies", type=float, help="days that it keeps bodies")
    asked.add_argument("--outage", type=float, help="hours that a callback that gets all may be down")
    asked.add_argument("--postgresql", action="store_true", default=None, help="in place of SQLite")
    asked.add_argument("--write", action="store_true", help="the examples, into docs/capacity.md")
    asked.add_argument("--nodes", type=int, help="of RabbitMQ")
