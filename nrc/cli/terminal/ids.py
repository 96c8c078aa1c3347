"""Ids as tables show them and as people type them (operating/notificaties/ids.py), for commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import click

from operating.notificaties.ids import (
    LEAST,
    MAX_LISTED,
    SHORT_IN_TIME,
    between,
    bounds,
    is_whole,
    read_id,
    short,
    the_one,
)
from schemas.abonnement import Abonnement
from schemas.application import is_client_id
from schemas.errors import Conflict, UsageError

__all__ = [
    "LEAST",
    "SHORT_IN_TIME",
    "WHOM",
    "abonnement",
    "between",
    "bounds",
    "is_whole",
    "of_abonnement",
    "of_someone",
    "short",
    "some_are_meant",
    "the_one",
    "uuid",
    "whom",
]


def uuid(text: str) -> str:
    """A UUID or its first characters, in the form in which UUIDs are shown. A click type."""
    try:
        return read_id(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


WHOM = "its UUID, the first characters of it, or the application that has it"


def whom(text: str) -> str:
    """An abonnement as people name it: by its UUID as for `uuid`, or its application. A click type."""
    try:
        return read_id(text)
    except ValueError as error:
        if is_client_id(text):
            return text
        raise click.BadParameter(f"{error} It may be the client_id of its application too.") from None


def of_someone(
    typed: str,
    known: Mapping[UUID, Abonnement],
    *,
    others: Iterable[UUID] = (),
    removed: bool = False,
    kanaal: str = "",
) -> UUID:
    """As `abonnement`, of what `whom` took: also the abonnement of the application that is typed.

    kanaal: where that has several, the one on this kanaal. Raises UsageError too when there are several.
    """
    own = [each for each in known.values() if each.client_id == typed]
    if len(own) > 1:
        own = [each for each in own if any(group.naam == kanaal for group in each.kanalen)] or own
    if len(own) == 1:
        return own[0].uuid
    if own:
        listed = [f"{short(each.uuid)} ({_kanalen_of(each)})" for each in own[:MAX_LISTED]]
        raise UsageError(f"application {typed} has {len(own)} abonnementen; name one: {', '.join(listed)}")
    return abonnement(typed, known, others=others, removed=removed)


def _kanalen_of(abonnement: Abonnement) -> str:
    return ", ".join(dict.fromkeys(group.naam for group in abonnement.kanalen)) or "no kanalen"


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
    "--abonnement", type=whom, metavar="UUID", help="Only (without ID: all) those for this one."
)
"""The option of commands on deliveries: of ids, or all of an abonnement."""
