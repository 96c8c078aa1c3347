"""What `nrc undeliverable list` lists: rows of the ledger, or what only RabbitMQ has."""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

from nrc.cli.connecting import opened_link
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import note
from nrc.cli.undeliverable.ledger_rows import Rows, key_of, opened_rows
from nrc.cli.undeliverable.selection import look_at, select
from router import names
from router.undeliverable import Undeliverable
from runtime.settings import Settings
from schemas.errors import BrokerUnavailable

LOOK_TIMEOUT = 2.0  # seconds for RabbitMQ to say how many it has


async def listed(
    settings: Settings, abonnement: str | None, *, limit: int, rabbitmq: bool
) -> list[Undeliverable]:
    """The first `limit`, the oldest first. abonnement: whole, or its first characters. Raises NrcError.

    rabbitmq: those in RabbitMQ that the ledger does not know.
    """
    async with opened_rows(settings) as rows:
        if rows is None:
            chosen = await select(settings, None, (), abonnement)
            at_most = sys.maxsize if abonnement else limit
            return await look_at(settings, wanted=chosen.has, limit=limit, at_most=at_most)
        if rabbitmq:
            return await _only_in_rabbitmq(settings, rows, abonnement, limit=limit)
        one = await _abonnement(rows, abonnement)
        found = []
        if abonnement is None or one is not None:
            found = [
                await rows.item(row) for row in await rows.ledger.undeliverable(abonnement=one, limit=limit)
            ]
        await _tell_of_others(settings, rows)
        return found


async def _abonnement(rows: Rows, typed: str | None) -> UUID | None:
    """The one that is typed, of those for which something is undeliverable."""
    if typed is None or ids.is_whole(typed):
        return UUID(typed) if typed else None
    owners = {str(row.key.abonnement) async for row in rows.undeliverable()}
    found = ids.the_one(typed, owners, what="abonnement")
    return UUID(found) if found else None


async def _only_in_rabbitmq(
    settings: Settings, rows: Rows, abonnement: str | None, *, limit: int
) -> list[Undeliverable]:
    known = {row.key async for row in rows.undeliverable()}
    chosen = await select(settings, None, (), abonnement)

    def wanted(item: Undeliverable) -> bool:
        return chosen.has(item) and (item.abonnement is None or key_of(item) not in known)

    found = await look_at(settings, wanted=wanted, limit=limit)
    return [item for item in found if not await rows.overtaken(item)]


async def _tell_of_others(settings: Settings, rows: Rows) -> None:
    """Say so when RabbitMQ has more than the ledger knows; nothing when it does not answer at once."""
    from router.depth import depths

    try:
        async with asyncio.timeout(LOOK_TIMEOUT), opened_link(settings) as link:
            assert link.connection is not None  # noqa: S101 - opened
            depth = (await depths(link.connection, [names.UNDELIVERABLE]))[names.UNDELIVERABLE]
    except (BrokerUnavailable, TimeoutError):
        return
    known = await rows.ledger.undeliverable_count()
    if depth is not None and depth.messages > known:
        note(
            f"{names.UNDELIVERABLE} has {depth.messages} messages, and the ledger knows of {known}: "
            "--rabbitmq lists those that it does not know"
        )
