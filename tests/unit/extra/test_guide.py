"""docs/extra.md, "Als er iets misgaat": its codes are given, and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from extra.pull import waiting
from extra.rates import AT_ONCE
from runtime.settings import Settings
from schemas import errors

ROOT = Path(__file__).parents[3]


def test_the_table_of_faults_is_true() -> None:
    page = (ROOT / "docs" / "extra.md").read_text().partition("## Als er iets misgaat")[2]
    rows = [row.split(" | ") for row in re.findall(r"^\| (\d{3} \| .*) \|$", page, re.M)]
    given = {(str(each.status), each.code) for each in errors.Problem.__subclasses__()}
    given |= {
        ("403", code) for code in re.findall(r'"([a-z]+-[a-z-]+)"', (ROOT / "gateway/tokens.py").read_text())
    }
    named = {(status, code) for status, codes, *_ in rows for code in re.findall(r"`([a-z_-]*[a-z])`", codes)}
    assert len(rows) >= 12
    assert named <= given
    assert {status for status, _ in named} == {"400", "403", "404", "405", "415", "429", "503"}
    numbers = {int(found) for *_, means, _ in rows for found in re.findall(r"\b\d+\b", means)}
    rate = Settings.model_fields["extra_rate"].default
    assert numbers == {waiting.MOST_OF_CLIENT, waiting.MOST, rate, rate * AT_ONCE}
