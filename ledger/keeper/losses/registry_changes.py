"""Adds deliveries that a gateway missed because it matched with an older copy of the registry.

After each change of an abonnement's kanalen, at once and a minute later, what was accepted since then and
matched with an older catalogue is matched again. Not what was accepted before: an abonnement gets nothing
of before it was made. With SQLite both moments are of one clock. With PostgreSQL hosts have clocks of their
own, and what was accepted up to SKEW before counts as accepted since then. RabbitMQ may have routed it
anyway; without a row its loss would not be noticed. gaps.py does the same for the time of a queue's gap. One
search serves all abonnementen that are looked at together.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor
from time import monotonic, time
from uuid import UUID

from ledger.keeper.lease import Lease
from ledger.ledger import Ledger
from ledger.values import Notificatie, Search
from router.catalogue import Catalogue
from router.matching.filters import matches
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.notificatie import values_of
from store.registry import Changes, Registry

LOOK_AGAIN = 60.0
"""Seconds from a change to the second look at it; no gateway's copy is older than that."""
SKEW = 2000
"""Milliseconds by which clocks may differ, or have been set back since, where the registry does not tell."""
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


@dataclass(frozen=True, slots=True)
class Window:
    """When a gateway may have missed an abonnement: `received` from `after` to `before`, the former included.

    change: of its kanalen; what was matched with a catalogue of that change or later has its rows.
    """

    abonnement: Abonnement
    change: int
    after: int
    before: int


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
        due = [each for each in self._looks.items() if each[1].due <= monotonic()]
        windows, last = [], []
        for uuid, look in due:
            # Once more after a failed look too: entries that waited for the ledger are written by then.
            if look.last:
                last.append((uuid, look))
            look.last = False
            if (window := await self._window(uuid, look.change)) is not None:
                windows.append(window)
        await self._lease.keep(ledger.keeping)
        added = await add_missed(ledger, self._lease, windows)
        for _, look in due:
            look.due, look.last = monotonic() + self._again, True
        for uuid, look in last:
            if self._looks.get(uuid) is look:
                del self._looks[uuid]
        return added

    async def _window(self, uuid: UUID, change: int) -> Window | None:
        abonnement = self._catalogue.everyone.get(uuid)
        since = await kanalen_since(self._registry, uuid, change)
        if abonnement is None or since is None or time() * 1000 - since > OLD * 1000:
            return None
        return Window(abonnement, change, after=since, before=since + round(self._again * 1000))


async def kanalen_since(registry: Registry, abonnement: UUID, change: int) -> int | None:
    """From which `received` on (milliseconds) it has the kanalen of this change; None when that is not known.

    When it got them, and before that by as much as the clock was set back since.
    """
    for each in await registry.kanalen_versions(abonnement):
        if each.change == change:
            back = SKEW if each.clock is None else max(0.0, each.clock - (time() - monotonic())) * 1000
            return floor(each.valid_from * 1000 - back) - ROUNDING
    return None


async def add_missed(ledger: Ledger, lease: Lease, windows: Iterable[Window]) -> int:
    """Add a row for each notificatie that matches an abonnement and was matched before that one changed.

    By the plain predicate. Each notificatie is read once, whatever the number of windows that it is in.
    Returns how many were added. Raises LeaseLost and what stores raise.
    """
    of_kanaal: dict[str, list[Window]] = {}
    for window in windows:
        for naam in {group.naam for group in window.abonnement.routed}:
            of_kanaal.setdefault(naam, []).append(window)
    added = 0
    for naam, its_windows in of_kanaal.items():
        for span in _spans(its_windows):
            added += await _add_missed(ledger, lease, naam, span)
    return added


def _spans(windows: Iterable[Window]) -> Iterator[list[Window]]:
    """Windows that overlap or touch, together, by `after`."""
    span: list[Window] = []
    end = 0
    for window in sorted(windows, key=lambda each: each.after):
        if span and window.after > end:
            yield span
            span = []
            end = 0
        span.append(window)
        end = max(end, window.before)
    if span:
        yield span


async def _add_missed(ledger: Ledger, lease: Lease, naam: str, span: Sequence[Window]) -> int:
    search = Search(kanaal=naam, after=span[0].after, before=max(each.before for each in span))
    to_come = [*reversed(span)]
    begun: list[Window] = []  # the newest change last
    added: dict[UUID, int] = {}
    last = None
    while page := await ledger.search(search, limit=PAGE, after=last, oldest_first=True):
        last = page[-1].id
        until = max(each.received for each in page)
        while to_come and to_come[-1].after <= until:
            insort(begun, to_come.pop(), key=lambda window: window.change)
        missed: dict[UUID, list[UUID]] = {}
        for each in page:
            if not (unaware := _unaware(each, begun)):
                continue
            whole = await ledger.notificatie(each.id)
            if whole is None:
                continue
            values = (whole.body and values_of(whole.body)) or {}
            for abonnement in unaware:
                if matches(abonnement, naam, values):
                    missed.setdefault(abonnement.uuid, []).append(each.id)
        epoch = await lease.keep(ledger.keeping)
        for uuid, ids in missed.items():
            added[uuid] = added.get(uuid, 0) + await ledger.keeping.add_rows(epoch, uuid, ids)
    for window in span:
        if count := added.get(uuid := window.abonnement.uuid):
            log.info("rows added", abonnement=str(uuid), count=count, change=window.change)
    return sum(added.values())


def _unaware(notificatie: Notificatie, begun: Sequence[Window]) -> list[Abonnement]:
    """Those in whose window it was accepted, and that its gateway did not know of as they are."""
    found = []
    for window in reversed(begun):
        if window.change <= notificatie.catalogue:
            break
        if window.after <= notificatie.received < window.before:
            found.append(window.abonnement)
    return found
