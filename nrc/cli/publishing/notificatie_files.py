"""Reads a file of notificaties: one JSON object, a list of them, or JSON lines. Sends nothing.

Where possible the bytes are passed on unchanged: the gateway decides whether it is a notificatie.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from schemas.errors import ParseError, UsageError
from schemas.jsontext import read_json, write_json

_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """A notificatie to send. where: its place in the file, for people (`line 3`)."""

    where: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Items:
    """The notificaties of a file, in order. total: how many at most; None when that is not known."""

    each: Iterator[Item]
    total: int | None


def read_items(stream: BinaryIO, *, name: str) -> Items:
    """The items of `stream`. JSON lines are read one by one, all else at once.

    Raises UsageError when it is not JSON from the start.
    """
    first = _first_line(stream)
    if not first:
        return Items(iter(()), 0)
    if not first.startswith(b"["):
        if _is_json(first):
            return Items(_lines(first, stream), _count_lines(stream))
        # An object over several lines, or JSON lines whose first is wrong.
        rest = stream.read()
        if _is_json(first + rest):
            return Items(iter([Item("the notificatie", first + rest)]), 1)
        if first.rstrip() in (b"{", b"") or not first.startswith(b"{"):
            raise UsageError(f"{name}: {_why_not(first + rest)}")
        return Items(_lines(first, iter(rest.splitlines(keepends=True))), None)
    text = first + stream.read()
    try:
        items = read_json(text)
    except ParseError:
        raise UsageError(f"{name}: {_why_not(text)}") from None
    bodies = [Item(f"item {number}", write_json(item)) for number, item in enumerate(items, 1)]
    return Items(iter(bodies), len(bodies))


def _first_line(stream: BinaryIO) -> bytes:
    """The first line that is not blank; b"" at the end."""
    line = stream.readline().removeprefix(_BOM)
    while line and not line.strip():
        line = stream.readline()
    return line.lstrip()


def _lines(first: bytes, rest: BinaryIO | Iterator[bytes]) -> Iterator[Item]:
    for number, line in enumerate(chain([first], rest), 1):
        if body := line.strip():
            yield Item(f"line {number}", body)


def _is_json(text: bytes) -> bool:
    try:
        read_json(text)
    except ParseError:
        return False
    return True


def _why_not(text: bytes) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return "neither a notificatie, a list of them, nor JSON lines"


def _count_lines(stream: BinaryIO) -> int | None:
    """How many lines a file has at most, its first being read; None when it cannot be read twice."""
    try:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return None
        here = stream.tell()
    except (OSError, ValueError):
        return None
    count = 1
    last = b"\n"
    while chunk := stream.read(_CHUNK):
        count += chunk.count(b"\n")
        last = chunk[-1:]
    stream.seek(here)
    return count + (last != b"\n")
