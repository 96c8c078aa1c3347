"""Renews console/static/nl-design-system.css: component styles of NL Design System, from npm, in one file.

`python -m tools.vendor_css` fetches each package of PACKAGES with `npm pack` and joins their style sheets,
each after its name, version and copyright. Refuses a package whose licence is not EUPL-1.2: the token
packages of organisations are not free, and none of these needs them. Colours and sizes are our own, in
huisstijl.css.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TO = Path(__file__).parents[1] / "console" / "static" / "nl-design-system.css"
LICENCE = "EUPL-1.2"
PACKAGES = {
    "@nl-design-system-candidate/button-css": "1.1.0",
    "@nl-design-system-candidate/code-css": "2.0.3",
    "@nl-design-system-candidate/code-block-css": "1.1.5",
    "@nl-design-system-candidate/heading-css": "1.1.3",
    "@nl-design-system-candidate/link-css": "2.0.3",
    "@nl-design-system-candidate/paragraph-css": "2.1.3",
    "@nl-design-system-candidate/skip-link-css": "1.0.5",
    "@utrecht/alert-css": "4.0.2",
    "@utrecht/badge-status-css": "2.0.1",
    "@utrecht/checkbox-css": "3.0.1",
    "@utrecht/data-list-css": "3.0.1",
    "@utrecht/form-field-css": "3.0.1",
    "@utrecht/form-field-description-css": "3.0.1",
    "@utrecht/form-field-error-message-css": "3.0.1",
    "@utrecht/form-fieldset-css": "3.0.1",
    "@utrecht/form-label-css": "3.0.1",
    "@utrecht/pagination-css": "3.0.1",
    "@utrecht/select-css": "3.0.1",
    "@utrecht/table-css": "3.0.1",
    "@utrecht/textarea-css": "4.0.1",
    "@utrecht/textbox-css": "4.0.1",
}
HEAD = f"""\
/* Components of NL Design System, from npm, unchanged. Licence of each: {LICENCE} (LICENSE of this project).
   Made by `python -m tools.vendor_css`; what is ours stands in console.css and huisstijl.css. */
"""
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def fetched(name: str, version: str, folder: Path) -> Path:
    """The archive of one package."""
    command = ["npm", "pack", "--silent", f"{name}@{version}", "--pack-destination", str(folder)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return folder / said.split()[-1]


def part(name: str, archive: Path) -> str:
    """The style sheet of a package after its name. Raises SystemExit for another licence."""
    with tarfile.open(archive) as opened:

        def read(path: str) -> str | None:
            try:
                member = opened.extractfile(f"package/{path}")
            except KeyError:
                return None
            return member.read().decode() if member is not None else None

        about = json.loads(read("package.json") or "{}")
        if about.get("license") != LICENCE:
            raise SystemExit(f"{name}: licence {about.get('license')!r}, and only {LICENCE} may be used here")
        component = name.rpartition("/")[2].removesuffix("-css")
        style = read(f"dist/{component}.css") or read("dist/index.css")
        if style is None:
            raise SystemExit(f"{name}: no style sheet where one was expected")
        owners = sorted(set(re.findall(r"Copyright \(c\) .+", style)))
    rules = _COMMENT.sub("", style).replace('@charset "UTF-8";', "")
    rules = "\n".join(line.rstrip() for line in rules.splitlines() if line.strip())
    owner = "".join(f" * {line}\n" for line in owners)
    return f"\n/*\n * {name} {about['version']}\n{owner} * {LICENCE}\n */\n{rules}\n"


def main() -> None:
    """Write the file; what changed is for `git diff` to say."""
    parts = [HEAD]
    with tempfile.TemporaryDirectory() as folder:
        for name, version in PACKAGES.items():
            parts.append(part(name, fetched(name, version, Path(folder))))
    TO.write_text("".join(parts), encoding="utf-8")
    print(f"{TO}: {len(PACKAGES)} packages, {TO.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
