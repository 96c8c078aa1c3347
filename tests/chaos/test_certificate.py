"""The certificate shows scenarios that were not run and parts of a scenario, and counts neither."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.accounting.account import Account
from tests.chaos.certificate import Circumstances, as_json, markdown, onto
from tests.chaos.run import Run
from tests.chaos.scenario import Result, Scenario

CIRCUMSTANCES = Circumstances(date="1 May 2026", command="make chaos", rabbitmq="3.10.8", seconds=60.0)


async def _nothing(_: Run) -> None:
    raise AssertionError("not to be run")


def _row(page: str, name: str) -> list[str]:
    (line,) = (line for line in page.splitlines() if line.startswith(f"| {name} |") and line.count("|") > 4)
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def results() -> list[Result]:
    with_parts = Scenario("callbacks", "They misbehave.", _nothing, parts={"a-slow-one": "It hangs."})
    left_out = Scenario("clocks jump", "They jump.", _nothing)
    whole = Account(accepted=100, to_deliver=150, delivered=150)
    part = Account(accepted=100, to_deliver=50, delivered=50)
    return [
        Result(with_parts, whole, {}, 30.0, parts={"a-slow-one": part}),
        Result(left_out, Account(), {}, 0.0, not_run="there is no clock"),
    ]


def test_what_was_not_run_says_why(results: list[Result]) -> None:
    page = markdown(results, CIRCUMSTANCES)
    assert "**Lost: 0** of 100 accepted notificaties, 150 deliveries, over 1 scenarios. Not run: 1." in page
    assert _row(page, "clocks jump")[1] == "not run: there is no clock"
    told = as_json(results, CIRCUMSTANCES)
    assert [each["not_run"] for each in told["scenarios"]] == ["", "there is no clock"]


def test_a_part_has_a_row_and_is_not_counted_twice(results: list[Result]) -> None:
    page = markdown(results, CIRCUMSTANCES)
    assert _row(page, "… a slow one")[1:4] == ["", "50", "50"]
    assert _row(page, "**Together**")[1:4] == ["100", "150", "150"]
    assert as_json(results, CIRCUMSTANCES)["scenarios"][0]["parts"]["a-slow-one"]["delivered"] == 50


def test_duplicates_are_told_by_cause_with_their_bound() -> None:
    killed = Account(duplicated=3, duplicates_bound=40)
    killed.duplicated_by, killed.bounds = {"in flight": 1, "queue": 2}, {"deliverer 1 killed": 40}
    calm = Account(accepted=1)
    results = [
        Result(Scenario(name, "", _nothing), made, {}, 1.0)
        for name, made in {"killed": killed, "calm": calm}.items()
    ]
    page = markdown(results, CIRCUMSTANCES)
    (_, table) = page.split("## Duplicates by cause")
    rows = [line for line in table.split("## ")[0].splitlines() if line.startswith("| ")]
    assert rows[1:] == [
        "| killed | 1 in flight; 2 given back: its queue was missing | 40 deliverer 1 killed |",
        "| **Together** | 1 in flight; 2 given back: its queue was missing | 40 |",
    ]
    assert as_json(results, CIRCUMSTANCES)["together"]["duplicated_by"] == {"in flight": 1, "queue": 2}


def test_a_scenario_that_is_run_again_takes_the_place_of_its_former_result(results: list[Result]) -> None:
    failed = Account(accepted=10, to_deliver=10, delivered=9, lost=["1"], problems=["lost"])
    killed, gone = Scenario("killed", "", _nothing), Scenario("gone", "", _nothing)
    before = [*results, Result(killed, failed, {"201": 10}, 1.0), Result(gone, Account(), {}, 1.0)]
    earlier = json.loads(json.dumps(as_json(before, CIRCUMSTANCES)))
    again = Result(killed, Account(accepted=20, to_deliver=20, delivered=20), {"201": 20}, 2.0)
    known = [*(result.scenario for result in results), killed]
    now = onto(earlier, [again], known)
    assert now == [*results, again]
    later = replace(CIRCUMSTANCES, date="2 May 2026").after(earlier, ["killed"])
    page = markdown(now, later)
    assert "| Again: killed | 2 May 2026, `make chaos`; it did not hold before: lost |" in page
    assert "**Lost: 0** of 120" in page
    assert later.date == CIRCUMSTANCES.date


POWER = {
    "command": "make power",
    "kinds": {"under load": 20},
    "cuts": 20,
    "accepted": 9000,
    "to_deliver": 15000,
    "open_at_cuts": 700,
    "delivered": 15000,
    "lost": 0,
    "duplicated": 12,
    "duplicates_bound": 2000,
    "own_retries": 3,
    "longest_start": 21.5,
    "longest_delay": 30.1,
    "holds": True,
    "problems": [],
}


def test_power_cuts_are_shown_with_the_disk_that_is_assumed(results: list[Result]) -> None:
    without = markdown(results, CIRCUMSTANCES)
    assert "**What it does not cover.** A power cut or a crash of the host: a process" in without
    assert "## Power cuts" not in without
    page = markdown(results, CIRCUMSTANCES, power=POWER)
    assert "**The disk that is assumed.**" in page
    assert "| 20 | 9,000 | 15,000 | 700 | 15,000 | **0** | 12 (2,000) | 3 | 21.5 | 30.1 |" in page
    assert "does not hold" not in page
    lost = markdown(
        results, CIRCUMSTANCES, power={**POWER, "lost": 2, "holds": False, "problems": ["lost 2"]}
    )
    assert "**Power cuts: the certificate does not hold.**" in lost
    assert "* lost 2" in lost


def test_the_published_page_and_its_json_say_the_same() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "loss-certificate.md").read_text()
    told = json.loads((docs / "loss-certificate.json").read_text())
    for name, of in [
        ("**Together**", told["together"]),
        *((each["name"], each) for each in told["scenarios"]),
    ]:
        if not of.get("not_run"):
            columns = [*(f"{of[column]:,}" for column in ("accepted", "to_deliver", "delivered", "waiting"))]
            row = _row(page, name)
            assert [*row[1:5], row[8], row[9]] == [
                *columns,
                f"{of['duplicated']:,} ({of['duplicates_bound']:,})",
                f"{of['own_retries']:,}",
            ]
