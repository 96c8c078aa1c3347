"""The progress bar of a replay, on a terminal. Ctrl-C ends the bar, not the replay."""

from __future__ import annotations

import asyncio
import sys

from nrc.cli.terminal.output import note
from nrc.cli.tracing.account import opened_account
from runtime.settings import Settings

LOOK_AGAIN = 0.5  # seconds


async def watch(settings: Settings, number: int) -> None:
    """Show a bar until the replay ends or is paused; nothing without a terminal."""
    from ledger.operating.replays import Progress as State
    from nrc.cli.terminal.progress_bar import progress_bar

    if not sys.stderr.isatty() or not sys.stdout.isatty():
        return
    async with opened_account(settings) as account:
        with progress_bar("replaying", shown=True) as bar:
            task = bar.add_task("", total=None)
            try:
                while (replay := await account.ledger.replays.replay(number)) is not None:
                    bar.update(task, total=replay.plan.total, completed=replay.sent + replay.skipped)
                    if replay.progress is not State.RUNNING:
                        break
                    await asyncio.sleep(LOOK_AGAIN)
            except asyncio.CancelledError:
                note(f"it goes on: `nrc replay show {number}`, `nrc replay stop {number}`")
                raise
    if replay is not None and replay.progress is not State.RUNNING:
        note(f"replay {number} {replay.progress}: {replay.sent} sent, {replay.skipped} skipped")
