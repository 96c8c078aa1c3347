"""Carries out the replays that operators asked for: makes their next deliveries, at the rate of each.

A delivery is made RETURNING, and `Giving` publishes it like all others. The progress of a replay is written
in the transaction that makes its deliveries, so any keeper continues it where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from uuid import UUID

from ledger.keeper.lease import Lease
from ledger.ledger import Ledger
from ledger.operating.replays import Progress, Replay
from ledger.values import Notificatie, State
from router.catalogue import Catalogue
from router.matching.filters import matches
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.notificatie import values_of

MOST = 1000  # replays that are looked at
PAGE = 200  # notificaties that are looked at together
PAGES = 10  # of one replay in one pass, when few of them match
BURST = 5.0  # seconds of its rate that a replay may send at once
MOST_UNPUBLISHED = 1000  # deliveries of a replay that wait to be published, when its queue is full

log = logger(__name__)


class Replays:
    """One pass after the other over the replays that run."""

    def __init__(self, *, lease: Lease, catalogue: Catalogue) -> None:
        self._lease = lease
        self._catalogue = catalogue
        self._allowed: dict[int, tuple[float, float]] = {}  # deliveries, and when that was (monotonic)

    async def go_on(self, ledger: Ledger) -> int:
        """Make the next deliveries of each, the oldest replay first; returns how many notificaties it took.

        Raises LeaseLost, LedgerError, or RegistryError.
        """
        found = await ledger.replays.replays(limit=MOST, unfinished=True)
        running = [each for each in reversed(found) if each.progress is Progress.RUNNING]
        if not running:
            self._allowed.clear()
            return 0
        await self._catalogue.refresh()
        return sum([await self._go_on(ledger, each) for each in running])

    async def _go_on(self, ledger: Ledger, replay: Replay) -> int:
        abonnement = self._catalogue.everyone.get(replay.plan.abonnement)
        if abonnement is None:
            await ledger.replays.change(replay.number, Progress.STOPPED)
            log.warning("replay stopped: its abonnement was removed", **_facts(replay))
            return 0
        allowed = self._allow(replay)
        if allowed < 1 or await ledger.replays.unpublished(replay.number) >= MOST_UNPUBLISHED:
            return 0
        moved, last = 0, replay.last
        for _ in range(PAGES):
            page = await ledger.search(replay.plan.search, limit=PAGE, after=last, oldest_first=True)
            sends, looked_at = await self._choose(ledger, replay, abonnement, page, allowed)
            is_last = len(page) < PAGE and looked_at == len(page)
            last = page[looked_at - 1].id if looked_at else last
            made = await ledger.replays.advance(
                await self._lease.keep(ledger.keeping),
                replay.number,
                sends=sends,
                skipped=looked_at - len(sends),
                last=None if is_last else last,
            )
            if made is None:  # paused or stopped meanwhile
                return moved
            moved += looked_at
            allowed -= len(sends)
            if is_last:
                log.info("replay done", **_facts(replay))
            if is_last or allowed < 1:
                break
        self._allowed[replay.number] = (allowed, monotonic())
        return moved

    def _allow(self, replay: Replay) -> float:
        """How many it may send now."""
        now, rate = monotonic(), replay.plan.rate
        allowed, since = self._allowed.get(replay.number, (max(rate, 1.0), now))
        allowed = min(allowed + rate * (now - since), max(rate * BURST, 1.0))
        self._allowed[replay.number] = (allowed, now)
        return allowed

    async def _choose(
        self,
        ledger: Ledger,
        replay: Replay,
        abonnement: Abonnement,
        page: Sequence[Notificatie],
        allowed: float,
    ) -> tuple[list[UUID], int]:
        """Which are sent, and how many were looked at for that."""
        sends: list[UUID] = []
        for number, each in enumerate(page, 1):
            plan = replay.plan
            if await is_to_be_sent(
                ledger, each.id, abonnement, unmatched=plan.unmatched, lacking=plan.lacking
            ):
                sends.append(each.id)
                if len(sends) + 1 > allowed:
                    return sends, number
        return sends, len(page)


async def is_to_be_sent(
    ledger: Ledger, id_: UUID, abonnement: Abonnement, *, unmatched: bool, lacking: bool = False
) -> bool:
    """Whether a replay sends this one: it has its body, is wanted, and is not still to be delivered.

    lacking: and was not delivered yet.
    """
    whole = await ledger.notificatie(id_)
    if whole is None or whole.body is None:
        return False
    rows = (await ledger.deliveries([id_])).get(id_, ())
    own = [row for row in rows if row.key.abonnement == abonnement.uuid]
    if any(row.is_open or (lacking and row.state is State.DELIVERED) for row in own):
        return False
    if unmatched:
        return True
    kenmerken = values_of(whole.body)
    return kenmerken is not None and matches(abonnement, whole.kanaal, kenmerken)


def _facts(replay: Replay) -> dict[str, object]:
    return {"replay": replay.number, "abonnement": str(replay.plan.abonnement)}
