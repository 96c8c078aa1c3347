"""What waits for abonnementen that are removed: it ends, and their queues go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.values import WhyEnded
from operating.acts import Log
from runtime.settings import Settings
from schemas.errors import LedgerError

if TYPE_CHECKING:
    from router.requests import RouterClient
    from store.registry import Act

AT_ONCE = 500  # deliveries in one transaction


@dataclass(slots=True)
class Waited:
    """How many waiting notificaties were kept and discarded."""

    kept: int = 0
    discarded: int = 0

    def __str__(self) -> str:
        parts = []
        if self.kept:
            parts.append(f"{self.kept} notificatie(s) that waited are undeliverable")
        if self.discarded:
            parts.append(f"{self.discarded} notificatie(s) that waited removed")
        return ", ".join(parts)


def what_becomes_of_auth(*, keep: bool) -> str:
    """What the audit trail says of the secrets of an abonnement that was given away."""
    return "kept" if keep else "removed"


def what_becomes(*, keep: bool) -> str:
    """What becomes of what waits, for the audit log."""
    return "undeliverable" if keep else "removed"


async def end_what_waits(
    settings: Settings, log: Log, uuids: Iterable[UUID], *, keep: bool, tell: Callable[[str], None]
) -> Waited:
    """End what waited for these abonnementen, which are removed from the registry already.

    keep: as undeliverable; else for good. tell: called with a line about what is left to the keeper.
    """
    acts: list[Act] = []
    waited = Waited()
    try:
        for uuid in uuids:
            if count := await _end(settings, uuid, keep=keep, tell=tell):
                ended = Waited(kept=count) if keep else Waited(discarded=count)
                facts = {"removed": ended.discarded, "undeliverable": ended.kept}
                acts.append(log.append("what waited was taken away", abonnement=uuid, **facts))
                waited.kept += ended.kept
                waited.discarded += ended.discarded
    finally:
        await log.keep(acts)
    return waited


async def remove_queues(router: RouterClient, uuids: Iterable[UUID]) -> None:
    """Have the router delete the queues of these removed abonnementen. Raises BrokerUnavailable."""
    for uuid in uuids:
        await router.apply_abonnement(uuid)


async def _end(settings: Settings, uuid: UUID, *, keep: bool, tell: Callable[[str], None]) -> int:
    """End what is open of a removed abonnement; returns how many. On failure the keeper does it later."""
    from ledger.keeper.undeliverable.ending import end
    from ledger.opening import ledger_is_there, ledger_of
    from ledger.operating.sending import removed

    try:
        if not ledger_is_there(settings):
            return 0
        async with ledger_of(settings) as ledger:
            rows = [row async for row in ledger.open_of(uuid)]
            if keep:
                await end(ledger, rows, WhyEnded.ABONNEMENT_REMOVED, "its abonnement was removed")
            else:
                for start in range(0, len(rows), AT_ONCE):
                    await ledger.write([removed(row) for row in rows[start : start + AT_ONCE]])
            return len(rows)
    except (LedgerError, OSError) as error:
        tell(f"what waited becomes undeliverable, by the keeper (`nrc ledger`): {error}")
        return 0
