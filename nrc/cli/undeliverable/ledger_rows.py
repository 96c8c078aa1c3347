"""Undeliverable notificaties as the ledger has them, in the form of the messages of RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from ledger.ids import id_of_message
from ledger.values import FINAL, OPEN, REASONS, Attempt, Delivery, Key, State
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import note
from router.history import FailedAttempt, History, read_history, write_headers
from router.undeliverable import Undeliverable
from schemas.errors import LedgerError

if TYPE_CHECKING:
    from ledger.ledger import Ledger
    from runtime.settings import Settings

PAGE = 500
MOST_ALIKE = 10_000  # deliveries of notificaties whose ids begin alike
FOUND = OPEN | {State.UNDELIVERABLE}


class Rows:
    """The deliveries of a ledger, for the commands on what was not delivered."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def undeliverable(self, *, abonnement: UUID | None = None) -> AsyncIterator[Delivery]:
        """All that are undeliverable, the oldest first."""
        after: Key | None = None
        while page := await self.ledger.undeliverable(abonnement=abonnement, limit=PAGE, after=after):
            for row in page:
                yield row
            after = page[-1].key

    async def near(self, typed: str) -> list[Delivery]:
        """The deliveries of notificaties whose id is or begins so."""
        try:
            first, last = ids.between(ids.uuid(typed))
        except click.BadParameter:
            first = last = id_of_message(typed)
        return list(await self.ledger.deliveries_between(first, last, limit=MOST_ALIKE))

    async def item(self, row: Delivery) -> Undeliverable:
        """A delivery as a message. Without a body when the ledger has none."""
        key = row.key
        notificatie = await self.ledger.notificatie(key.notificatie)
        history = History(
            attempts=row.attempts,
            failures=_failures(await self.ledger.attempts(key), row.attempts),
            due=row.next_at,
            round=row.round,
            replay=key.replay,
        )
        ended = _moment(row.last_at) if row.state is State.UNDELIVERABLE else None
        return Undeliverable(
            message_id=str(key.notificatie),
            abonnement=key.abonnement,
            headers=write_headers(key.abonnement, history, undeliverable_at=ended),
            body=(notificatie.body if notificatie is not None else None) or b"",
            accepted_at=_moment(notificatie.received) if notificatie is not None else None,
        )

    async def overtaken(self, item: Undeliverable) -> bool:
        """Whether a message that RabbitMQ has as undeliverable is not so any more, by the ledger."""
        if item.abonnement is None:
            return False
        row = await self.ledger.delivery(key_of(item))
        return row is not None and (row.state in FINAL or row.round > read_history(item.headers).round)


def key_of(item: Undeliverable) -> Key:
    """Which delivery of the ledger a message is."""
    assert item.abonnement is not None  # noqa: S101 - the caller looked
    return Key(id_of_message(item.message_id), item.abonnement, read_history(item.headers).replay)


@asynccontextmanager
async def opened_rows(settings: Settings) -> AsyncIterator[Rows | None]:
    """The ledger; None where there is none, and, with a note, when it can't be read."""
    from ledger.opening import ledger_file, ledger_of

    async with AsyncExitStack() as opened:
        rows = None
        try:
            if ledger_file(settings).exists():
                rows = Rows(await opened.enter_async_context(ledger_of(settings)))
        except (LedgerError, OSError) as error:
            note(f"only RabbitMQ was asked, since the ledger cannot be read: {error}")
        yield rows


def _failures(attempts: Sequence[Attempt], count: int) -> tuple[FailedAttempt, ...]:
    """The attempts of its last round, and why it ended when that was no attempt."""
    numbered = [each for each in attempts if each.number]
    ended = [each for each in attempts[-1:] if not each.number and each.kind in REASONS]
    return tuple(
        FailedAttempt(_moment(each.at), each.kind, each.status, each.detail)
        for each in [*(numbered[-count:] if count else ()), *ended]
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
