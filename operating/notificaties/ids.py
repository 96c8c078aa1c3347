"""Ids as lists show them and as people type them: their first characters, where these name one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from uuid import UUID

from schemas.errors import UsageError

SHORT = 8
SHORT_IN_TIME = 18
"""Of a UUID of version 7, as notificaties have: its first 12 digits are a moment, and shared by many."""
LEAST = 4
MAX_LISTED = 20

_OF_TIME = 12  # hexadecimal digits
_VERSION = 14  # the place of its digit
_WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART = re.compile(rf"[0-9a-f]{{{LEAST},32}}")


def is_whole(text: str) -> bool:
    """Whether this is a whole UUID, so that nothing else can be meant."""
    return _WHOLE.fullmatch(text) is not None


def short(id_: object) -> str:
    """What a table shows of an id, and what can be typed for it. One that is no UUID is shown whole."""
    text = str(id_)
    if not is_whole(text):
        return text
    return text[:SHORT_IN_TIME] if text[_VERSION] == "7" else text[:SHORT]


def bounds(part: str) -> tuple[int, int]:
    """(first, last) milliseconds since 1970 in which a UUID of version 7 that begins so was made.

    part: as `read_id` gives it.
    """
    digits = part.replace("-", "")
    return int(digits[:_OF_TIME].ljust(_OF_TIME, "0"), 16), int(digits[:_OF_TIME].ljust(_OF_TIME, "f"), 16)


def between(part: str) -> tuple[UUID, UUID]:
    """(first, last) UUID that begins so. part: as `read_id` gives it."""
    digits = part.replace("-", "")
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def read_id(text: str) -> str:
    """A UUID or its first characters, in the one form in which UUIDs are shown. Raises ValueError."""
    try:
        return str(UUID(text))
    except ValueError:
        digits = text.lower().replace("-", "")
    if not _PART.fullmatch(digits):
        raise ValueError(f"{text!r} is no UUID, nor the first {LEAST} or more characters of one.")
    return "-".join(filter(None, (digits[start:end] for start, end in pairwise((0, 8, 12, 16, 20, 32)))))


def the_one(typed: str, known: Iterable[str], *, what: str) -> str | None:
    """The id that is typed, whole or by its first characters; None when there is none.

    what: what it names, for the fault. Raises UsageError when several begin so, with the candidates, or when
    it is too short to tell.
    """
    found = set()
    for each in known:
        if each == typed:
            return typed
        if each.startswith(typed):
            found.add(each)
    if found and len(typed) < LEAST:
        raise UsageError(f"{what} {typed}: give at least its first {LEAST} characters")
    if len(found) > 1:
        listed = sorted(found)[:MAX_LISTED]
        more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
        raise UsageError(f"{what} {typed} may be any of these: {', '.join(listed)}{more}")
    return next(iter(found), None)
