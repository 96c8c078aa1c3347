"""The pages of docs/ that say where each thing is done, made from the first sentence of every docstring.

`python -m tools.modules` writes docs/modules.md, a row for each module, and in docs/architecture.md the table
between two marks, a row for each package. tests/unit/test_docs.py compares both with what is made here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "nrc",
    "telemetry",
    "inbox",
    "console",
    "alerting",
    "operating",
    "extra",
    "gateway",
    "deliverer",
    "ledger",
    "router",
    "store",
    "runtime",
    "schemas",
)
MODULES = Path("docs/modules.md")
ARCHITECTURE = Path("docs/architecture.md")
BEGIN, END = "<!-- Made by `make docs`. -->\n", "<!-- End of what is made. -->\n"
HEAD = """\
# Where each thing is done

Every package and module of the product, each by the first sentence of its docstring. Made from the code by
`make docs`; [architecture.md](architecture.md) says how they work together. An import only runs downwards in
the order of this page.
"""


def first_sentence(file: Path) -> str:
    """The first paragraph of a module's docstring, on one line, as a cell of a table has it."""
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")


def packages() -> Iterator[Path]:
    """Every package, those that import others first; each before its own packages."""
    for name in PACKAGES:
        yield from sorted(init.parent for init in (ROOT / name).rglob("__init__.py"))


def packages_table() -> str:
    """A row for each package."""
    rows = (
        f"| `{package.relative_to(ROOT)}/` | {first_sentence(package / '__init__.py')} |\n"
        for package in packages()
    )
    return "| Package | Does |\n|---|---|\n" + "".join(rows)


def modules_page() -> str:
    """docs/modules.md: a section for each package, and in it a row for each module."""
    page = HEAD
    for package in packages():
        modules = [file for file in sorted(package.glob("*.py")) if file.name != "__init__.py"]
        page += f"\n## {package.relative_to(ROOT)}\n\n{first_sentence(package / '__init__.py')}\n"
        if modules:
            page += "\n| Module | Does |\n|---|---|\n"
        for file in modules:
            page += f"| `{file.relative_to(ROOT)}` | {first_sentence(file)} |\n"
    return page


def with_packages(architecture: str) -> str:
    """docs/architecture.md with the table of packages as it is now."""
    before, begin, rest = architecture.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{ARCHITECTURE} has no marks for the table of packages")
    return f"{before}{BEGIN}\n{packages_table()}\n{END}{after}"


def main() -> None:
    """Write both."""
    (ROOT / MODULES).write_text(modules_page())
    architecture = ROOT / ARCHITECTURE
    architecture.write_text(with_packages(architecture.read_text()))


if __name__ == "__main__":
    main()
