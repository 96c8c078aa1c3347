"""The files that take longest, by the seconds that they took: `make test` begins with these."""

from __future__ import annotations

LONGEST_FIRST = (
    "tests/chaos/test_short.py",
    "tests/e2e/test_readme.py",
    "tests/fuzz/test_short.py",
)
