"""docs/toegankelijkheid.md has every criterion of WCAG 2.2 A and AA once, and tests that are there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "toegankelijkheid.md").read_text()
CRITERIA = {
    "A": "1.1.1 1.2.1 1.2.2 1.2.3 1.3.1 1.3.2 1.3.3 1.4.1 1.4.2 2.1.1 2.1.2 2.1.4 2.2.1 2.2.2 2.3.1 2.4.1"
    " 2.4.2 2.4.3 2.4.4 2.5.1 2.5.2 2.5.3 2.5.4 3.1.1 3.2.1 3.2.2 3.2.6 3.3.1 3.3.2 3.3.7 4.1.2",
    "AA": "1.2.4 1.2.5 1.3.4 1.3.5 1.4.3 1.4.4 1.4.5 1.4.10 1.4.11 1.4.12 1.4.13 2.4.5 2.4.6 2.4.7 2.4.11"
    " 2.5.7 2.5.8 3.1.2 3.2.3 3.2.4 3.3.3 3.3.4 3.3.8 4.1.3",
}


def rows(text: str) -> list[list[str]]:
    """Of the tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def section(name: str) -> str:
    """What stands below a heading of level 2."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


OF_CRITERIA = [row for row in rows(section("Per criterium")) if re.match(r"\d", row[0])]
TESTS = {row[0].strip("*"): row[2] for row in rows(section("De tests")) if row[0].startswith("**")}
NAMED = sorted({*re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE)})


def test_every_criterion_is_there_once() -> None:
    assert sum(len(numbers.split()) for numbers in CRITERIA.values()) == 55
    told = Counter((level, name.partition(" ")[0]) for name, level, *_ in OF_CRITERIA)
    assert told == Counter(
        (level, number) for level, numbers in CRITERIA.items() for number in numbers.split()
    )


@pytest.mark.parametrize("row", OF_CRITERIA, ids=lambda row: row[0])
def test_a_criterion_tells_how_and_by_which_tests(row: list[str]) -> None:
    name, _, applies, how, shown = row
    assert " " in name
    assert applies in ("ja", "nee")
    assert how.endswith(".")
    used = re.findall(r"\*\*([\w' ]+)\*\*", shown)
    assert {*used} <= TESTS.keys()
    assert used or "ekeken" in shown


def test_every_test_of_the_list_is_used() -> None:
    used = {name for name in TESTS if f"**{name}**" in section("Per criterium")}
    assert used == TESTS.keys()
    assert all(re.search(r"`tests/[\w/]+\.py::\w+`", tests) for tests in TESTS.values())


@pytest.mark.parametrize("named", NAMED)
def test_each_test_that_is_named_is_there(named: str) -> None:
    path, _, function = named.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert function in there
