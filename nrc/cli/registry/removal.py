"""Asks what to do with what waits for abonnementen that a command removes, and does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import click

from ledger.values import WhyEnded
from nrc.cli.connecting import carry_out, opened_registry
from nrc.cli.operating import audit
from nrc.cli.registry.condition import ledger_backlogs
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import note
from schemas.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from router.requests import RouterClient
    from runtime.settings import Settings
    from store.registry import Act

AT_ONCE = 500  # deliveries in one transaction

yes_option = click.option("--yes", is_flag=True, help="Do not ask: remove what waits too, for good.")
keep_option = click.option("--keep", is_flag=True, help="Keep what waits, as undeliverable.")


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


def ask_about_waiting(settings: Settings, uuids: Sequence[UUID], *, yes: bool, keep: bool) -> None:
    """Return when what waits for these may be removed, or is kept. Raises UsageError without a terminal."""
    if yes and keep:
        raise UsageError("--yes and --keep: give one of them")
    if yes or keep or not uuids:
        return
    backlogs = carry_out(ledger_backlogs(settings))
    if backlogs is not None:
        count = sum(backlogs[uuid].count for uuid in uuids if uuid in backlogs)
        if not count:
            return
    how_many = "an unknown number of" if backlogs is None else str(count)
    ask(
        f"{how_many} notificaties wait (--keep would keep them, as undeliverable). Remove them for good?",
        otherwise=f"{how_many} notificaties wait: --keep keeps them, as undeliverable, --yes removes them "
        "for good",
    )


def what_becomes(*, keep: bool) -> str:
    """What becomes of what waits, for the audit log."""
    return "undeliverable" if keep else "removed"


def abonnementen_of(settings: Settings, client_id: str) -> list[UUID]:
    """The abonnementen of an application."""

    async def look() -> list[UUID]:
        async with opened_registry(settings) as opened:
            return [
                each.uuid for each in opened.catalogue.abonnementen.values() if each.client_id == client_id
            ]

    return carry_out(look())


async def end_what_waits(settings: Settings, uuids: Iterable[UUID], *, keep: bool) -> Waited:
    """End what waited for these abonnementen, which are removed from the registry already."""
    acts: list[Act] = []
    waited = Waited()
    try:
        for uuid in uuids:
            if count := await _end(settings, uuid, keep=keep):
                ended = Waited(kept=count) if keep else Waited(discarded=count)
                facts = {"removed": ended.discarded, "undeliverable": ended.kept}
                acts.append(audit.append(settings, "what waited was taken away", abonnement=uuid, **facts))
                waited.kept += ended.kept
                waited.discarded += ended.discarded
    finally:
        await audit.keep(settings, acts)
    return waited


async def remove_queues(router: RouterClient, uuids: Iterable[UUID]) -> None:
    """Have the router delete the queues of these removed abonnementen. Raises BrokerUnavailable."""
    for uuid in uuids:
        await router.apply_abonnement(uuid)


async def _end(settings: Settings, uuid: UUID, *, keep: bool) -> int:
    """End what is open of a removed abonnement; returns how many. On failure the keeper does it later."""
    from ledger.keeper.undeliverable.ending import end
    from ledger.opening import ledger_file, ledger_of
    from ledger.operating.sending import removed

    try:
        if not ledger_file(settings).exists():
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
        note(f"what waited becomes undeliverable, by the keeper (`nrc ledger`): {error}")
        return 0
