"""What waits for abonnementen that a command removes: how much it is, the question, and its removal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import click

from nrc.cli.connecting import carry_out, opened_link, opened_registry
from nrc.cli.operating import audit
from nrc.cli.registry.condition import in_queue, ledger_backlogs
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import note
from router import names
from schemas.errors import BrokerUnavailable, UsageError

if TYPE_CHECKING:
    from router.requests import RouterClient
    from runtime.settings import Settings
    from store.registry import Act

yes_option = click.option("--yes", is_flag=True, help="Do not ask: remove what waits too, for good.")
keep_option = click.option("--keep", is_flag=True, help="Move what waits to nrc.undeliverable.")


@dataclass(slots=True)
class Waited:
    """What became of what waited, in notificaties."""

    kept: int = 0
    discarded: int = 0

    def __str__(self) -> str:
        parts = []
        if self.kept:
            parts.append(f"{self.kept} notificatie(s) moved to nrc.undeliverable")
        if self.discarded:
            parts.append(f"{self.discarded} notificatie(s) that waited removed")
        return ", ".join(parts)


def ask_about_waiting(settings: Settings, uuids: Sequence[UUID], *, yes: bool, keep: bool) -> None:
    """Return when what waits for these may go, or is kept. Raises UsageError where nobody can be asked."""
    if yes and keep:
        raise UsageError("--yes and --keep: give one of them")
    if yes or keep or not uuids:
        return
    waiting, retrying = carry_out(_waiting(settings, uuids))
    if retrying:
        note(f"{retrying} between attempts go to nrc.undeliverable when their time is up")
    if waiting == 0:
        return
    count = "an unknown number of" if waiting is None else str(waiting)
    ask(
        f"{count} notificaties wait (--keep would move them to nrc.undeliverable). Remove them for good?",
        otherwise=f"{count} notificaties wait: --keep moves them to nrc.undeliverable, --yes removes them "
        "for good",
    )


def what_becomes(*, keep: bool) -> str:
    """What becomes of what waits, for the audit log."""
    return "to nrc.undeliverable" if keep else "removed"


def abonnementen_of(settings: Settings, client_id: str) -> list[UUID]:
    """The abonnementen of an application."""

    async def look() -> list[UUID]:
        async with opened_registry(settings) as opened:
            return [
                each.uuid for each in opened.catalogue.abonnementen.values() if each.client_id == client_id
            ]

    return carry_out(look())


async def remove_queues(
    settings: Settings, router: RouterClient, uuids: Iterable[UUID], waited: Waited, *, keep: bool
) -> None:
    """The queues of these, which are not in the registry any more, are gone. Adds up in `waited`."""
    acts: list[Act] = []
    try:
        for uuid in uuids:
            kept, discarded = await router.remove_abonnement(uuid, discard=not keep)
            if kept or discarded:
                act = "what waited was taken away"
                facts = {"removed": discarded, "undeliverable": kept}
                acts.append(audit.append(settings, act, abonnement=uuid, **facts))
            waited.kept += kept
            waited.discarded += discarded
    finally:
        await audit.keep(settings, acts)


async def _waiting(settings: Settings, uuids: Sequence[UUID]) -> tuple[int | None, int]:
    """How many wait in the queues of these, None when nobody can say; how many between attempts."""
    from router.depth import depths

    backlogs = await ledger_backlogs(settings)
    known = [backlogs[uuid] for uuid in uuids if backlogs is not None and uuid in backlogs]
    retrying = sum(each.retrying for each in known)
    try:
        async with opened_link(settings) as link:
            assert link.connection is not None  # noqa: S101 - opened
            found = await depths(link.connection, map(names.abonnement_queue, uuids))
    except BrokerUnavailable as error:
        if backlogs is not None:
            return sum(map(in_queue, known)), retrying
        note(f"what waits for them is not known: {error}")
        return None, retrying
    ready = sum(depth.messages for depth in found.values() if depth is not None)
    return max(ready, sum(map(in_queue, known))), retrying
