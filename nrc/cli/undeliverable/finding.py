"""Where a notificatie is that was not delivered (yet): undeliverable, in a queue, or between two attempts."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from ledger.values import Delivery
from ledger.values import State as Delivered
from nrc.cli.connecting import opened_link, opened_registry
from nrc.cli.registry.condition import Condition
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import moment, note
from nrc.cli.undeliverable.ledger_rows import FOUND, opened_rows
from router import names
from router.undeliverable import Undeliverable, look, look_in_queues
from runtime.settings import Settings
from schemas.abonnement import Abonnement, State
from schemas.errors import NrcError


class Place(StrEnum):
    """Where a notificatie may be."""

    UNDELIVERABLE = "undeliverable"
    QUEUE = "queue"
    BETWEEN_ATTEMPTS = "between attempts"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Found:
    """A notificatie in one place, for one abonnement.

    message: without a body when the ledger has none. due: of one between attempts: until when it is there
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
        if self.place is Place.STUCK:
            return "nowhere: RabbitMQ lost it several times; `nrc retry now` sends it"
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

    By the ledger; what that does not know is looked for in RabbitMQ. Raises UsageError when several begin so,
    and BrokerUnavailable. When the registry can't be read, queues are not looked through; with a note.
    """
    abonnementen: Mapping[UUID, Abonnement] = {}
    try:
        async with opened_registry(settings) as opened:
            abonnementen = opened.catalogue.abonnementen
    except NrcError as error:
        note(f"queues of abonnementen were not looked at: {error}")
    async with opened_rows(settings) as rows:
        near = [] if rows is None else await rows.near(typed)
        meant = ids.the_one(typed, (str(row.key.notificatie) for row in near), what="notificatie")
        if rows is not None and near:
            chosen = [row for row in near if meant in (None, str(row.key.notificatie)) and row.state in FOUND]
            found = [_found(row, await rows.item(row)) for row in chosen]
        else:
            found = await _find_in_rabbitmq(settings, typed, abonnementen)
    return [
        replace(each, abonnement=abonnementen.get(owner) if (owner := each.message.abonnement) else None)
        for each in found
    ]


def _found(row: Delivery, item: Undeliverable) -> Found:
    match row.state:
        case Delivered.UNDELIVERABLE:
            return Found(item, Place.UNDELIVERABLE)
        case Delivered.STUCK:
            return Found(item, Place.STUCK)
        case Delivered.RETRYING if row.next_at is not None and row.next_at / 1000 > time.time():
            return Found(item, Place.BETWEEN_ATTEMPTS, row.next_at / 1000)
    return Found(item, Place.QUEUE)


async def _find_in_rabbitmq(
    settings: Settings, typed: str, abonnementen: Mapping[UUID, Abonnement]
) -> list[Found]:
    def near(item: Undeliverable) -> bool:
        return item.message_id.startswith(typed)

    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        queued = await look_in_queues(link.connection, abonnementen, wanted=near, tell=_tell_of_more)
        ended = await look(link.connection, wanted=near, limit=sys.maxsize)
    found = [
        *(Found(each, Place.UNDELIVERABLE) for each in ended),
        *(Found(each, Place.QUEUE) for each in queued),
    ]
    meant = ids.the_one(typed, (each.message.message_id for each in found), what="notificatie")
    return [each for each in found if each.message.message_id == meant]


def _tell_of_more(abonnement: UUID, looked_at: int, messages: int) -> None:
    note(f"only the first {looked_at} of {messages} in the queue of abonnement {abonnement} were looked at")
