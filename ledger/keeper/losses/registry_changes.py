"""Adds deliveries that a gateway missed because it matched with an older copy of the registry.

After each change of an abonnement's kanalen, at once and a minute later, what was accepted since then and
matched with an older catalogue is matched again. Not what was accepted before: an abonnement gets nothing
of before it was made. Registry and gateways are on one host, so both moments are of one clock. RabbitMQ may
have routed it anyway; without a row its loss would not be noticed. gaps.py does the same for the time of a
queue's gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from time import monotonic, time
from uuid import UUID

from ledger.keeper.lease import Lease
from ledger.ledger import Ledger
from ledger.values import Search
from router.catalogue import Catalogue
from router.matching.filters import matches
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.notificatie import kenmerken_of
from store.registry import Changes, Registry

LOOK_AGAIN = 60.0
"""Seconds from a change to the second look at it; no gateway's copy is older than that."""
SKEW = 2000
"""Milliseconds by which the clock may have been set back since a change, where the registry does not tell."""
ROUNDING = 1  # milliseconds by which `received` may be too early
OLD = 86_400.0
"""Seconds after which a change is not looked at any more: a keeper that starts reads all changes."""
PAGE = 500  # notificaties that are looked at together

log = logger(__name__)


@dataclass(slots=True)
class _Look:
    """A change of kanalen to look at from `due` on (monotonic). last: it is the second look."""

    change: int
    due: float
    last: bool = False


class ChangedKanalen:
    """The looks that are still to come. again: seconds."""

    def __init__(
        self, *, registry: Registry, catalogue: Catalogue, lease: Lease, again: float = LOOK_AGAIN
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._lease = lease
        self._again = again
        self._looks: dict[UUID, _Look] = {}
        catalogue.subscribe(self._remember)

    def _remember(self, changes: Changes) -> None:
        for each in changes.abonnementen:
            look = self._looks.get(each.uuid)
            if look is None or look.change < each.kanalen_change:
                self._looks[each.uuid] = _Look(each.kanalen_change, monotonic())

    async def add_rows(self, ledger: Ledger) -> int:
        """Look at what is due; returns how many rows were added. Raises LeaseLost and what stores raise."""
        added = 0
        for uuid, look in [each for each in self._looks.items() if each[1].due <= monotonic()]:
            # Once more after a failed look too: entries that waited for the ledger are written by then.
            was_last, look.last = look.last, False
            await self._lease.keep(ledger.keeping)
            added += await self._look(ledger, uuid, look.change)
            if was_last and self._looks.get(uuid) is look:
                del self._looks[uuid]
            look.due, look.last = monotonic() + self._again, True
        return added

    async def _look(self, ledger: Ledger, uuid: UUID, change: int) -> int:
        abonnement = self._catalogue.everyone.get(uuid)
        since = await kanalen_since(self._registry, uuid, change)
        if abonnement is None or since is None or time() * 1000 - since > OLD * 1000:
            return 0
        return await add_missed(
            ledger,
            self._lease,
            abonnement,
            change=change,
            after=since,
            before=since + round(self._again * 1000),
        )


async def kanalen_since(registry: Registry, abonnement: UUID, change: int) -> int | None:
    """From which `received` on (milliseconds) it has the kanalen of this change; None when that is not known.

    When it got them, and before that by as much as the clock was set back since.
    """
    for each in await registry.kanalen_versions(abonnement):
        if each.change == change:
            back = SKEW if each.clock is None else max(0.0, each.clock - (time() - monotonic())) * 1000
            return floor(each.valid_from * 1000 - back) - ROUNDING
    return None


async def add_missed(
    ledger: Ledger, lease: Lease, abonnement: Abonnement, *, change: int, after: int, before: int
) -> int:
    """Add a row for each notificatie that matches the abonnement and was matched before it changed.

    Of those received from `after` to `before`, by the plain predicate. change: of its kanalen; what was
    matched with a catalogue of that change or later has its rows. Returns how many were added.
    """
    added = 0
    for naam in {group.naam for group in abonnement.kanalen}:
        search = Search(kanaal=naam, after=after, before=before)
        last = None
        while page := await ledger.search(search, limit=PAGE, after=last, oldest_first=True):
            last = page[-1].id
            missed = []
            for each in page:
                if each.catalogue >= change:
                    continue
                whole = await ledger.notificatie(each.id)
                if whole is not None and matches(abonnement, naam, kenmerken_of(whole.body or b"{}") or {}):
                    missed.append(each.id)
            if missed:
                epoch = await lease.keep(ledger.keeping)
                added += await ledger.keeping.add_rows(epoch, abonnement.uuid, missed)
    if added:
        log.info("rows added", abonnement=str(abonnement.uuid), count=added, change=change)
    return added
