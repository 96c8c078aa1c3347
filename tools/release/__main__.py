"""`make release`: the bill of materials in dist/, and an annotated tag for the version in pyproject.toml.

Changes nothing else, and pushes nothing. All that stands in the way is said at once, before anything is made.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tools.release.sbom import Unfit, bill, text


def main() -> int:
    """Make the release of the folder that this is run in; the exit code."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    dry_run = parser.parse_args().dry_run
    version = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    tag, file = f"v{version}", Path("dist") / f"nrc-{version}.cdx.json"
    faults, made = list(_faults(version, tag)), None
    try:
        made = bill(
            version=version, constraints=Path("constraints.txt"), made_at=_git("log", "-1", "--format=%cI")
        )
    except Unfit as error:
        faults.append(str(error))
    if faults:
        print(*(f"no release: {fault}" for fault in faults), sep="\n", file=sys.stderr)
    if made is None or (faults and not dry_run):
        return 1
    parts = len(made["components"])
    commit = _git("rev-parse", "--short", "HEAD")
    if dry_run:
        print(f"would write {file} ({parts} packages)\nwould tag {commit} as {tag}")
        return 1 if faults else 0
    file.parent.mkdir(exist_ok=True)
    file.write_text(text(made))
    print(f"wrote {file} ({parts} packages)")
    _git("tag", "--annotate", tag, "--message", f"NRC {version}")
    print(f"tagged {commit} as {tag}; `git push origin {tag}` publishes it, with {file} beside it")
    return 0


def _faults(version: str, tag: str) -> Iterator[str]:
    if _git("status", "--porcelain"):
        yield "there are changes that are not committed"
    if _git("tag", "--list", tag):
        yield f"there is a tag {tag} already: set the next version in pyproject.toml"
    changelog = Path("CHANGELOG.md").read_text()
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        yield f"CHANGELOG.md has no `## [{version}] - YYYY-MM-DD`: put what is under Unreleased there"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
