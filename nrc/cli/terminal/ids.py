"""Ids in short, as tables show them and as people type them: the first characters, where these are unique."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from uuid import UUID

import click

from schemas.errors import Conflict, UsageError

SHORT = 8
SHORT_IN_TIME = 18
"""For a UUID of version 7, as of notificaties: its first 12 digits are a time, which many share."""
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
    """The short form of an id, which can be typed too. One that is no UUID stays whole."""
    text = str(id_)
    if not is_whole(text):
        return text
    return text[:SHORT_IN_TIME] if text[_VERSION] == "7" else text[:SHORT]


def bounds(part: str) -> tuple[int, int]:
    """(first, last) millisecond since 1970 in which a UUID of version 7 that begins so was made.

    part: as `uuid` gives it.
    """
    digits = part.replace("-", "")
    return int(digits[:_OF_TIME].ljust(_OF_TIME, "0"), 16), int(digits[:_OF_TIME].ljust(_OF_TIME, "f"), 16)


def between(part: str) -> tuple[UUID, UUID]:
    """(first, last) UUID that begins so. part: as `uuid` gives it."""
    digits = part.replace("-", "")
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def uuid(text: str) -> str:
    """A UUID or its first characters, in the form in which UUIDs are shown. A click type."""
    try:
        return str(UUID(text))
    except ValueError:
        digits = text.lower().replace("-", "")
    if not _PART.fullmatch(digits):
        raise click.BadParameter(f"{text!r} is no UUID, nor the first {LEAST} or more characters of one.")
    return "-".join(filter(None, (digits[start:end] for start, end in pairwise((0, 8, 12, 16, 20, 32)))))


def the_one(typed: str, known: Iterable[str], *, what: str) -> str | None:
    """The id that is typed, whole or by its first characters; None when none matches.

    what: the kind of id, for the error. Raises UsageError when several match, with the candidates, or when it
    is too short.
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


def abonnement(
    typed: str, known: Iterable[UUID], *, others: Iterable[UUID] = (), removed: bool = False
) -> UUID:
    """The abonnement that is typed, whole or in part: one of `known` or of `others`.

    removed: also any whole UUID, since it may have been removed. Raises UsageError when several match, and
    Conflict when none does.
    """
    found = the_one(typed, map(str, {*known, *others}), what="abonnement")
    if found is None and removed and is_whole(typed):
        return UUID(typed)
    if found is None:
        hint = "; one that was removed is named by its whole UUID" if removed else ""
        raise Conflict(f"there is no abonnement {typed}: `nrc abonnement list` shows which there are{hint}.")
    return UUID(found)


def some_are_meant(typed: Sequence[str], abonnement: str | None, *, see: str) -> None:
    """Raise UsageError when neither ids nor an abonnement are given. see: where ids are shown."""
    if not typed and abonnement is None:
        raise UsageError(f"which? Give IDs ({see}), or --abonnement UUID for all of its")


of_abonnement = click.option(
    "--abonnement", type=uuid, metavar="UUID", help="Only (without ID: all) those for this one."
)
"""The option of commands on deliveries: of ids, or all of an abonnement."""
