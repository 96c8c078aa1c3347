"""Reads and damages a SQLite file from outside the tested code."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def ask(file: Path, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    """The rows of one statement, in a connection of its own."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def content(file: Path) -> bytes:
    """All that is in the file."""
    return file.read_bytes()


def damage(file: Path) -> None:
    """Overwrite all but the first page."""
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * (file.stat().st_size - 4096))
