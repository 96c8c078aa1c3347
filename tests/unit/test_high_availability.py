"""Each row of docs/high-availability.md names scenarios or tests that are there, and that show it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.scenarios import SCENARIOS, hosts

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "high-availability.md"


def rows() -> Iterator[list[str]]:
    """The rows of the table of what may fail."""
    table = PAGE.read_text().partition("## What may fail")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    for line in lines[1:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def shown_by(row: list[str]) -> list[str]:
    return re.findall(r"`([^`]+)`", row[-1])


def test_every_row_is_shown_by_something_that_is_there() -> None:
    there = {scenario.name for scenario in SCENARIOS}
    there |= {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    table = list(rows())
    assert len(table) >= 12
    for row in table:
        assert len(row) == 6, row
        assert all(row), row
        assert shown_by(row), row
        assert set(shown_by(row)) <= there, row


def test_every_scenario_of_hosts_is_in_a_row() -> None:
    told = {name for row in rows() for name in shown_by(row)}
    assert {scenario.name for scenario in hosts.SCENARIOS} <= told
