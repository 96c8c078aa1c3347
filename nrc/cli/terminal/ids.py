"""Ids as tables show them and as people type them (operating/notificaties/ids.py), for commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

import click

from operating.notificaties.ids import (
    LEAST,
    SHORT_IN_TIME,
    between,
    bounds,
    is_whole,
    read_id,
    short,
    the_one,
)
from schemas.errors import Conflict, UsageError

__all__ = [
    "LEAST",
    "SHORT_IN_TIME",
    "abonnement",
    "between",
    "bounds",
    "is_whole",
    "of_abonnement",
    "short",
    "some_are_meant",
    "the_one",
    "uuid",
]


def uuid(text: str) -> str:
    """A UUID or its first characters, in the form in which UUIDs are shown. A click type."""
    try:
        return read_id(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


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
