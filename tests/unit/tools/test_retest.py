"""`make retest`: few failures once more, and nothing that hides one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UNSTABLE = """
from pathlib import Path

def test_that_fails_at_first():
    done = Path(__file__).with_name("done")
    seen = done.exists()
    done.touch()
    assert seen
"""
FAILS = "\ndef test_{}(): assert False\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(project: Path, *command: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def retested(project: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run these tests, and then what failed."""
    (project / "test_some.py").write_text(tests)
    code = run(project, "pytest", "-q", *options, "test_some.py").returncode
    (project / "tested").write_text(f"{code}\n")
    return run(project, "tools.retest", "tested")


def test_what_passes_alone_is_named(project: Path) -> None:
    again = retested(project, UNSTABLE + "\ndef test_more(): pass\n")

    assert again.returncode == 0, again.stderr
    assert "UNSTABLE: test_some.py::test_that_fails_at_first failed at first" in again.stdout
    assert "test_more" not in again.stdout


def test_what_fails_again_stays_failed(project: Path) -> None:
    again = retested(project, UNSTABLE + FAILS.format("always"))

    assert again.returncode == 1
    assert "failed again" in again.stderr
    assert "UNSTABLE" not in again.stdout


@pytest.mark.parametrize(
    ("tests", "options", "why"),
    [
        ("".join(FAILS.format(each) for each in "abcd"), (), "4 tests failed"),
        ("def test_passes(): pass", (), "no failed run is known"),
        (FAILS.format("a") + "\ndef test_b(): raise KeyboardInterrupt\n", (), "ended with 2"),
        (FAILS.format("a"), ("--no-such-option",), "no failed run is known"),
    ],
    ids=["many", "none", "broken-off", "not-run"],
)
def test_no_other_run_is_tried_again(project: Path, tests: str, options: tuple[str, ...], why: str) -> None:
    again = retested(project, tests, *options)

    assert again.returncode == 1
    assert why in again.stderr


def test_before_any_run_it_says_what_to_do(project: Path) -> None:
    again = run(project, "tools.retest", "tested")

    assert again.returncode == 1
    assert "make test" in again.stderr
