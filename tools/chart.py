"""Makes the table of values in the README of the Helm chart from the comments in its values.yaml.

A comment `# -- text` tells of the key on the next line, and goes on over further comment lines. A key with a
comment is a row, whatever is below it; one without is a heading of what is below it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "deploy" / "helm" / "nrc"
BEGIN, END = "<!-- values: made by `make docs` from values.yaml -->\n", "<!-- end of values -->\n"


def told(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """(the path, the comment) of each key that has one. Raises ValueError for a value without a comment."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    covered = -1  # the indentation of a key with a comment, of which the lines below are a part
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if match := re.match(r" *# -- (.+)", line):
            comment, covered = [match[1]], -1
        elif comment and (match := re.match(r" *# (.+)", line)):
            comment.append(match[1])
        elif match := re.match(r" *([A-Za-z0-9_]+):", line):
            if 0 <= covered < indent:
                continue
            covered = -1
            while path and path[-1][0] >= indent:
                path.pop()
            path.append((indent, match[1]))
            names = tuple(name for _, name in path)
            if comment:
                yield names, " ".join(comment)
                comment, covered = [], indent
            elif line.rstrip()[-1] != ":":
                raise ValueError(f"values.yaml: {'.'.join(names)} has no comment")


def table(text: str) -> str:
    """The table of a values.yaml."""
    values = yaml.safe_load(text)
    rows = ["| Value | Default | Meaning |", "|---|---|---|"]
    for path, comment in told(text):
        value: Any = values
        for name in path:
            value = value[name]
        rows.append(f"| `{'.'.join(path)}` | `{json.dumps(value)}` | {comment} |")
    return "\n".join(rows) + "\n"


def readme() -> str:
    """The README with the table of the present values.yaml."""
    text = (CHART / "README.md").read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table((CHART / 'values.yaml').read_text())}\n{END}{after}"


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme())
