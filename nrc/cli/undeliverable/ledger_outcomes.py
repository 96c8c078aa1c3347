"""Tells the ledger what a command did with messages. A fault of the ledger never stops the command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from ledger.values import Outcome
from nrc.cli.terminal.output import note
from router.history import History, read_history
from router.undeliverable import Undeliverable
from runtime.settings import Settings
from schemas.errors import LedgerError

AT_ONCE = 500  # outcomes in one commit
LONGEST = 10.0  # seconds for one commit

OutcomeOf = Callable[[str, UUID, History], Outcome]


def outcomes_of(items: Sequence[Undeliverable], outcome_of: OutcomeOf) -> list[Outcome]:
    """The outcomes of these; none of what nothing says whose it is."""
    return [
        outcome_of(item.message_id, item.abonnement, read_history(item.headers))
        for item in items
        if item.abonnement is not None and item.message_id
    ]


async def tell_ledger(settings: Settings, outcomes: Sequence[Outcome]) -> None:
    """Write these to the ledger, if there is one; a note on standard error where that fails."""
    from ledger.opening import ledger_file, ledger_of

    written = 0
    try:
        if not outcomes or not ledger_file(settings).exists():
            return
        async with ledger_of(settings) as ledger:
            for start in range(0, len(outcomes), AT_ONCE):
                async with asyncio.timeout(LONGEST):
                    await ledger.write(outcomes[start : start + AT_ONCE])
                written = start + AT_ONCE
    except (LedgerError, TimeoutError, OSError) as error:
        reason = str(error) or f"no commit within {LONGEST:g} s"
        note(f"done, but {len(outcomes) - written} of them could not be noted in the ledger: {reason}")
