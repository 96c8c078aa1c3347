"""`make image-check`: makes the virtual environment of the image twice, and compares every byte of the two.

The image itself is this folder and a few lines of the Dockerfile. Asks the Python index for every package.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = "postgresql,opentelemetry"


def tree(folder: Path) -> dict[str, tuple[str, int, int]]:
    """What is in a folder: (hash of the content or target of the link, mode, time in seconds), by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            content = os.readlink(path)  # noqa: PTH115 - as text
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = content, status.st_mode, int(status.st_mtime)
    return found


def main() -> int:
    """0 when both are the same and the program in it starts."""
    with tempfile.TemporaryDirectory() as name:
        # One path for both: the scripts in bin name it, as they do /opt/nrc in the image.
        target = Path(name) / "nrc"
        made = []
        for _ in range(2):
            shutil.rmtree(target, ignore_errors=True)
            subprocess.run(
                [ROOT / "tools" / "make-image-venv", target, EXTRAS],
                check=True,
                env=os.environ | {"PYTHON": sys.executable},
            )
            made.append(tree(target))
        version = subprocess.run(
            [target / "bin" / "nrc", "version"], check=True, capture_output=True, text=True, cwd=name, env={}
        ).stdout.strip()
        first, second = made
        # Starting it wrote nothing: in the image nothing could be.
        different = sorted(path for path in first | second if first.get(path) != second.get(path))
        written = sorted(tree(target).keys() - second.keys())
    for path in different:
        print(f"differs: {path}")
    for path in written:
        print(f"written at a start: {path}")
    whole = hashlib.sha256(repr(sorted(second.items())).encode()).hexdigest()
    print(f"nrc {version}: {len(second)} files, {whole}" + ("" if different else ", twice the same"))
    return 1 if different or written else 0


if __name__ == "__main__":
    sys.exit(main())
