"""Replays: counted, begun, paused, resumed and stopped by an operator. The keeper carries them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from ledger.operating.replays import Plan, Progress, Replay
from ledger.values import Notificatie, Search
from schemas.errors import Conflict, UsageError

if TYPE_CHECKING:
    from ledger.ledger import Ledger
    from operating.acts import Log
    from schemas.abonnement import Abonnement

PAGE = 1000  # notificaties that are counted together
SAMPLE = 200  # notificaties of which it is looked at whether they would be sent
LEAST_RATE, MOST_RATE = 0.1, 200.0  # a second, the most as the keeper gives back
RATE = 50.0

_ACTS: Mapping[Progress, str] = {
    Progress.PAUSED: "replay paused",
    Progress.RUNNING: "replay resumed",
    Progress.STOPPED: "replay stopped",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """What a replay would send.

    search: with an end before now. total: how many it finds. sample: the first of them, each with whether it
    would be sent. looked_at: of how many it was found out whether they would be sent, sent: how many of these
    would.
    """

    search: Search
    total: int
    sample: Sequence[tuple[Notificatie, bool]]
    looked_at: int
    sent: int


async def count(
    ledger: Ledger,
    abonnement: Abonnement,
    search: Search,
    *,
    unmatched: bool,
    now: int,
    lacking: bool = False,
    most: int | None = None,
    within: float = 0.0,
) -> Counted:
    """How many notificaties this search finds, and which of the first would be sent to this abonnement.

    now: milliseconds since 1970; what is accepted from then on does not belong to it. lacking: only what it
    has not got yet. most: Raises UsageError when there are more. within: seconds in which it is also found
    out whether those after the first SAMPLE would be sent.
    """
    from ledger.keeper.replays import is_to_be_sent

    search = replace(search, before=now if search.before is None else min(search.before, now))
    ends = monotonic() + within
    total, sent, after, looks = 0, 0, None, True
    sample: list[tuple[Notificatie, bool]] = []
    looked_at = 0
    while True:
        page = await ledger.search(search, limit=PAGE, after=after, oldest_first=True)
        total += len(page)
        if most is not None and total > most:
            raise UsageError(f"these are more than {most} notificaties")
        for each in page:
            looks = looks and (looked_at < SAMPLE or monotonic() < ends)
            if not looks:
                break
            is_sent = await is_to_be_sent(ledger, each.id, abonnement, unmatched=unmatched, lacking=lacking)
            looked_at, sent = looked_at + 1, sent + is_sent
            if looked_at <= SAMPLE:
                sample.append((each, is_sent))
        if len(page) < PAGE:
            return Counted(search, total, sample, looked_at, sent)
        after = page[-1].id


async def begin(ledger: Ledger, log: Log, plan: Plan) -> Replay:
    """Make the replay; the keeper begins with it at once."""
    made = await ledger.replays.make(plan)
    await log.record(
        "replay begun",
        replay=made.number,
        abonnement=plan.abonnement,
        reason=plan.reason,
        notificaties=plan.total,
    )
    return made


async def change(ledger: Ledger, log: Log, replay: Replay, progress: Progress) -> None:
    """Pause it, let it go on, or stop it. Raises Conflict when it has ended, or is so already."""
    if not await ledger.replays.change(replay.number, progress):
        raise Conflict(f"replay {replay.number} is {replay.progress} already.")
    await log.record(_ACTS[progress], replay=replay.number, abonnement=replay.plan.abonnement)
