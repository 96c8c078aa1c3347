"""Asks what to do with what waits for abonnementen that a command removes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import click

from nrc.cli.connecting import carry_out, opened_registry
from nrc.cli.registry.condition import ledger_backlogs
from nrc.cli.terminal.confirmation import ask
from schemas.errors import UsageError

if TYPE_CHECKING:
    from runtime.settings import Settings

yes_option = click.option("--yes", is_flag=True, help="Do not ask: remove what waits too, for good.")
keep_option = click.option("--keep", is_flag=True, help="Keep what waits, as undeliverable.")
keep_auth_option = click.option(
    "--keep-auth",
    is_flag=True,
    help="With auth and callbackAuth, which the new owner can then have sent to any callbackUrl: it goes on "
    "without a pause.",
)
UNTIL_ITS_OWN_AUTH = ", suspended until that sets its own auth"


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


def abonnementen_of(settings: Settings, client_id: str) -> list[UUID]:
    """The abonnementen of an application."""

    async def look() -> list[UUID]:
        async with opened_registry(settings) as opened:
            return [each.uuid for each in opened.catalogue.everyone.values() if each.client_id == client_id]

    return carry_out(look())
