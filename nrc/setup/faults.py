"""What is wrong with a setup file: every fault at once, each with its place. Nothing in it is secret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.errors import UsageError

Path = tuple[str | int, ...]
"""A place in a file: the names and indexes that lead to it, such as ("kanalen", 0, "naam")."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. path: () of the file as a whole. line: from 1; 0 where there is none."""

    path: Path
    reason: str
    line: int = 0

    def told(self, file: str) -> str:
        """A line for people, as compilers write it, so that editors can go there."""
        place = f"{file}:{self.line}" if self.line else file
        where = f"{dotted(self.path)}: " if self.path else ""
        return f"{place}: {where}{self.reason}"


class Faults(UsageError):
    """A setup file that cannot be used. `faults` are all of them, by line."""

    def __init__(self, file: str, faults: Iterable[Fault]) -> None:
        self.faults: Sequence[Fault] = sorted(faults, key=lambda each: each.line)
        super().__init__("\n".join(each.told(file) for each in self.faults))


def dotted(path: Path) -> str:
    """A place as people read it: `abonnementen.2.kanalen.0.naam`."""
    return ".".join(map(str, path))
