"""Where a notificatie is that was not delivered (yet): undeliverable, in a queue, or between two attempts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from nrc.cli import ids
from nrc.cli.condition import Condition
from nrc.cli.reaching import opened_link, opened_registry
from nrc.cli.showing import moment, note
from router import names
from router.history import History, write_headers
from router.undeliverable import Undeliverable, look, look_in_queues
from runtime.settings import Settings
from schemas.abonnement import Abonnement, State
from schemas.errors import BrokerUnavailable, NrcError

if TYPE_CHECKING:
    from store.registry import BetweenAttempts


class Place(StrEnum):
    """Where a notificatie may be."""

    UNDELIVERABLE = "undeliverable"
    QUEUE = "queue"
    BETWEEN_ATTEMPTS = "between attempts"


@dataclass(frozen=True, slots=True)
class Found:
    """A notificatie in one place, for one abonnement.

    message: between attempts, where it can't be seen, without body and failures. due: until when it is there
    (Unix seconds). abonnement: None when it was removed, or is not known.
    """

    message: Undeliverable
    place: Place
    due: float | None = None
    abonnement: Abonnement | None = None

    @property
    def next_attempt(self) -> str | None:
        """When the next attempt is; None when that is not known."""
        active = self.abonnement is not None and self.abonnement.state is State.ACTIVE
        return moment(self.due) if self.due is not None and active else None

    @property
    def where(self) -> str:
        """The same for people, and what becomes of it there."""
        if self.place is Place.UNDELIVERABLE:
            return names.UNDELIVERABLE
        queue = names.UNDELIVERABLE
        if self.abonnement is not None:
            condition = Condition(self.abonnement)
            probe = f", next probe {condition.next_probe}" if condition.next_probe else ""
            queue = f"the queue of its abonnement, which is {condition.state}{probe}"
        if self.due is None:
            return queue
        if self.next_attempt:
            return f"between attempts, the next at {self.next_attempt}"
        return f"between attempts, until {moment(self.due)}; then in {queue}"


async def find(settings: Settings, typed: str) -> list[Found]:
    """Every place where this notificatie is. typed: its id, or the first characters.

    Raises UsageError when several begin so, and BrokerUnavailable. When the registry can't be read, only the
    undeliverable ones, and without RabbitMQ only those between attempts; each with a note.
    """
    abonnementen: Mapping[UUID, Abonnement] = {}
    waiting: tuple[BetweenAttempts, ...] = ()
    try:
        async with opened_registry(settings) as opened:
            abonnementen = opened.catalogue.abonnementen
            waiting = await opened.registry.between_attempts(typed)
    except NrcError as error:
        note(f"only nrc.undeliverable was looked at: {error}")

    def near(item: Undeliverable) -> bool:
        return item.message_id.startswith(typed)

    queued: list[Undeliverable] = []
    ended: list[Undeliverable] = []
    try:
        async with opened_link(settings) as link:
            assert link.connection is not None  # noqa: S101 - opened
            queued = await look_in_queues(link.connection, abonnementen, wanted=near, tell=_tell_of_more)
            ended = await look(link.connection, wanted=near, limit=sys.maxsize)
    except BrokerUnavailable as error:
        if not waiting:
            raise
        note(f"only what is between attempts was looked at: {error}")
    found = [
        *(Found(each, Place.UNDELIVERABLE) for each in ended),
        *(Found(each, Place.QUEUE) for each in queued),
        *(Found(_unseen(each), Place.BETWEEN_ATTEMPTS, each.due) for each in waiting),
    ]
    meant = ids.the_one(typed, (each.message.message_id for each in found), what="notificatie")
    return [
        replace(each, abonnement=abonnementen.get(owner) if (owner := each.message.abonnement) else None)
        for each in found
        if each.message.message_id == meant
    ]


def _unseen(each: BetweenAttempts) -> Undeliverable:
    headers = write_headers(each.abonnement, History(each.attempts))
    return Undeliverable(each.notificatie, each.abonnement, headers, b"", None)


def _tell_of_more(abonnement: UUID, looked_at: int, messages: int) -> None:
    note(f"only the first {looked_at} of {messages} in the queue of abonnement {abonnement} were looked at")
