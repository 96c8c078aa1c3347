"""`make release`, in a repository of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `make release` needs, committed, with a changelog that has this version."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n## [{VERSION}] - 2026-01-31\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for variable in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(variable, "Test")
    for variable in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(variable, "test@example.org")
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def commit(repository: Path) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "All of it")


def make_release(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In the environment that is there already: it is not made again for this repository."""
    venv = Path(sys.prefix)
    command = ["make", "--no-print-directory", "-o", f"{venv}/.installed", "release", f"VENV={venv}", *words]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(repository: Path) -> None:
    done = make_release(repository, "DRY_RUN=1")
    assert (done.returncode, done.stderr) == (0, "")
    head = git(repository, "rev-parse", "--short", "HEAD")
    assert re.fullmatch(
        rf"would write dist/nrc-{re.escape(VERSION)}\.cdx\.json \(\d+ packages\)\n"
        rf"would tag {head} as v{re.escape(VERSION)}\n",
        done.stdout,
    )
    assert git(repository, "tag") == ""
    changed = git(repository, "status", "--porcelain", "--ignored").splitlines()
    assert [each for each in changed if "__pycache__" not in each] == []


def test_a_release_is_an_annotated_tag_and_a_bill_of_materials(repository: Path) -> None:
    done = make_release(repository)
    assert (done.returncode, done.stderr) == (0, "")
    assert git(repository, "cat-file", "-t", f"v{VERSION}") == "tag"
    assert git(repository, "rev-parse", f"v{VERSION}^{{commit}}") == git(repository, "rev-parse", "HEAD")
    assert git(repository, "status", "--porcelain") == "", "dist/ is ignored"
    file = repository / "dist" / f"nrc-{VERSION}.cdx.json"
    made = json.loads(file.read_text())

    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    parts = {each["name"]: each for each in made["components"]}
    assert len(parts) == len(made["components"])
    pins = (line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    pinned = {canonicalize_name(name): version for name, version in pins}
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for name in [canonicalize_name(Requirement(each).name) for each in asked]:
        assert parts[name]["version"] == pinned[name]
    assert "aiormq" in parts, "what others bring along"
    assert "pytest" not in parts, "nothing that is only for development"
    for name, part in parts.items():
        assert part["purl"] == part["bom-ref"] == f"pkg:pypi/{name}@{part['version']}"
        assert part["licenses"], name
    refs = {each["bom-ref"] for each in [*made["components"], made["metadata"]["component"]]}
    assert {each["ref"] for each in made["dependencies"]} == refs
    brought = {ref for each in made["dependencies"] for ref in each["dependsOn"]}
    assert brought | {made["metadata"]["component"]["bom-ref"]} == refs

    again = make_release(repository)
    assert again.returncode != 0
    assert f"there is a tag v{VERSION} already" in again.stderr
    git(repository, "tag", "--delete", f"v{VERSION}")
    bytes_before = file.read_bytes()
    assert make_release(repository).returncode == 0
    assert file.read_bytes() == bytes_before


def test_all_that_is_in_the_way_is_said_at_once(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    pins = (repository / "constraints.txt").read_text()
    (repository / "constraints.txt").write_text(re.sub(r"(?m)^aiohttp==.*$", "aiohttp==1.0", pins))
    done = make_release(repository, "DRY_RUN=1")
    assert done.returncode != 0
    assert "no release: there are changes that are not committed" in done.stderr
    assert f"no release: CHANGELOG.md has no `## [{VERSION}] - YYYY-MM-DD`" in done.stderr
    assert "no release: aiohttp is" in done.stderr
    assert "1.0 in constraints.txt" in done.stderr
    assert not (repository / "dist").exists()


def test_a_dry_run_says_what_would_be_made_beside_what_is_in_the_way(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    commit(repository)
    done = make_release(repository, "DRY_RUN=1")
    assert done.returncode != 0
    assert "no release: CHANGELOG.md" in done.stderr
    assert f"would write dist/nrc-{VERSION}.cdx.json" in done.stdout
    assert make_release(repository).stdout == ""
    assert git(repository, "tag") == ""
