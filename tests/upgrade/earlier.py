"""The code of an earlier commit, in a temporary folder. Changes nothing in the repository."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


def default_commit() -> str:
    """That of the last release's tag; without one the parent of the commit that is checked out."""
    found = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD~1"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.strip() if found.returncode == 0 else "HEAD~1"


def named(commit: str) -> str:
    """Its short id and its subject. Raises SystemExit when this clone lacks it."""
    found = subprocess.run(
        ["git", "log", "-1", "--format=%h %s", f"{commit}^{{commit}}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        raise SystemExit(f"no commit {commit} in this clone: {found.stderr.strip()}")
    return found.stdout.strip()


@contextmanager
def code_of(commit: str) -> Iterator[Path]:
    """The folder with its files, for as long as the context is open."""
    folder = Path(tempfile.mkdtemp(prefix="nrc-earlier-"))
    try:
        packed = subprocess.run(
            ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
