"""Makefile, constraints and CI, by which a fresh clone is set up."""

from __future__ import annotations

import os
import re
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.longest import LONGEST_FIRST

ROOT = Path(__file__).parents[2]


def needed(name: str, extras: frozenset[str], seen: set[str]) -> set[str]:
    """Every distribution that `name` with these extras brings along on this Python."""
    for text in requires(name) or ():
        requirement = Requirement(text)
        wanted = [{"extra": extra} for extra in extras or {""}]
        if requirement.marker and not any(requirement.marker.evaluate(environment) for environment in wanted):
            continue
        key = canonicalize_name(requirement.name)
        if key not in seen:
            seen.add(key)
            needed(key, frozenset(requirement.extras), seen)
    return seen


def test_everything_that_is_installed_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        assert match, f"no exact pin: {line}"
        pins[canonicalize_name(match[1])] = match[2]

    # sqlite-utils asks for pip, which every virtual environment brings.
    assert needed("nrc", frozenset({"dev"}), set()) - {"pip"} <= set(pins)


def test_make_help_lists_every_command() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()

    assert re.findall(r"^make ([\w-]+) +\S", listed, re.MULTILINE) == commands
    assert {"setup", "run", "test", "lint", "help", "bench", "docs"} <= set(commands)


@pytest.mark.parametrize(
    "script", ["tools/make-venv", "tools/make-image-venv", "tools/install-packages", ".ci/run"]
)
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    shell = (ROOT / script).read_text().splitlines()[0].removeprefix("#!").split()
    subprocess.run([*shell, "-n", script], cwd=ROOT, check=True)


def test_no_python_that_will_do_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "tools/make-venv"), str(tmp_path / "venv")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Python 3.11 or later is needed" in done.stderr


def test_the_files_that_go_first_are_there() -> None:
    assert [name for name in LONGEST_FIRST if not (ROOT / name).is_file()] == []
    assert len({*LONGEST_FIRST}) == len(LONGEST_FIRST)
