"""What a keeper makes of a row, and when it gets the lease. Pure."""

from __future__ import annotations

from ledger.tables.rows import STATES, Row
from ledger.values import State

_PENDING, _RETURNING, _STUCK = STATES[State.PENDING], STATES[State.RETURNING], STATES[State.STUCK]


def next_epoch(row: tuple[str, int, int] | None, holder: str, *, now: int, ms: int) -> int | None:
    """The epoch of a lease of `ms` that `holder` asks for; None while another keeper has it.

    row: holder, epoch and end of the lease that there is. now: milliseconds, by the database's clock.
    """
    was, epoch, until = row or ("", 0, 0)
    if was == holder:
        return epoch
    # A lease from far ahead was written by a wrong clock, and must not last for years.
    return None if now < until <= now + 2 * ms else epoch + 1


def returning(row: Row, now: int, *, judged: bool, ahead: int) -> Row:
    """A row that is about to be given back. ahead: milliseconds from now until it is in its queue."""
    return row._replace(
        open=1,
        state=_RETURNING,
        round=row.round + 1,
        since=now + ahead,
        last_at=now,
        next_at=row.next_at if row.next_at is not None and row.next_at > now else None,
        given=row.given + judged,
        doubt=0,
    )


def returned_to_queue(row: Row, now: int) -> Row:
    """A row whose notificatie was given back: RabbitMQ has confirmed it."""
    return row._replace(state=_PENDING, since=max(now, row.next_at or 0))


def stuck(row: Row, now: int) -> Row:
    """A row that is not given back any more by itself."""
    return row._replace(open=1, state=_STUCK, last_at=now, next_at=None)
