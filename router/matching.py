"""Which abonnementen match a notificatie, by look-ups in dicts instead of a test of each abonnement.

The result equals `router/filters.py:matches` of every abonnement, which stays the definition. Per kanaal the
filter groups are sorted by pattern: the normalised names of their filters, without those that ask `*`. Per
pattern a dict maps the values that are asked to the abonnementen. A notificatie costs a look-up per pattern.

A filter on a kenmerk that the notificatie lacks is ignored. So where names are absent the look-up is in a
projection of the pattern on the names that are present: the same rows with None in place of each absent name.
A projection is built when it is first needed, and then kept up to date. A pattern has at most
MOST_PROJECTIONS; without a projection, its rows are scanned.

No I/O. Not thread-safe, except for `names` and `rows_of`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from itertools import chain
from uuid import UUID

from schemas.abonnement import WILDCARD, Abonnement, FilterGroup
from schemas.fields import normalise

MOST_PROJECTIONS = 64  # of a pattern: every set of absent names when it has six
LEAST_PROJECTIONS = 8  # of a pattern with very many rows
MOST_ENTRIES = 160_000  # of the projections of a pattern together, while more than LEAST_PROJECTIONS

LARGE = 2000
"""Filters of an abonnement from which on `rows_of` may take more than some milliseconds."""

_CONTRADICTION = object()  # what a group asks that asks two values of one name: equal to no value

Names = tuple[str, ...]
Values = tuple[object, ...]  # in the order of the names: str, None for an absent one, or _CONTRADICTION
Absent = tuple[bool, ...]
Rows = Collection[tuple[str, Names, Values]]  # (naam, names, values) of each filter group, each once


class Index:
    """The abonnementen that were put in, by what they ask. State, hold and owner play no part."""

    def __init__(self) -> None:
        self._kanalen: dict[str, _OfKanaal] = {}
        self._groups: dict[UUID, tuple[FilterGroup, ...]] = {}
        self._large: dict[UUID, Rows] = {}  # kept, so that a removal need not make them again

    def __len__(self) -> int:
        """How many abonnementen it has."""
        return len(self._groups)

    def put(self, abonnement: Abonnement, rows: Rows | None = None) -> None:
        """Add an abonnement, or replace its kanalen. No-op when these are the same as before.

        rows: what `rows_of` makes of it, for who had that done beside the event loop.
        """
        uuid, kanalen = abonnement.uuid, abonnement.kanalen
        if self._groups.get(uuid) == kanalen:
            return
        self.remove(uuid)
        self._groups[uuid] = kanalen
        if rows is None:
            rows = rows_of(kanalen)
        if is_large(kanalen):
            self._large[uuid] = rows
        for naam, names, values in rows:
            self._kanalen.setdefault(naam, _OfKanaal()).put(names, values, uuid)

    def remove(self, uuid: UUID) -> None:
        """Remove an abonnement. No-op when it is not there."""
        groups, rows = self._groups.pop(uuid, ()), self._large.pop(uuid, None)
        for naam, names, values in rows_of(groups) if rows is None else rows:
            of_kanaal = self._kanalen[naam]
            of_kanaal.remove(names, values, uuid)
            if not of_kanaal.patterns:
                del self._kanalen[naam]

    def matching(self, kanaal: str, kenmerken: Mapping[str, str]) -> tuple[UUID, ...]:
        """The abonnementen that match, each once, in no order."""
        if (of_kanaal := self._kanalen.get(kanaal)) is None:
            return ()
        values = {normalise(name): value for name, value in kenmerken.items()}
        found = [hit for pattern in of_kanaal.patterns.values() if (hit := pattern.matching(values))]
        if len(found) == 1:
            return tuple(found[0])
        return tuple(dict.fromkeys(chain.from_iterable(found)))

    def names(self, kanaal: str) -> Collection[str]:
        """The normalised names that any filter on this kanaal asks a value of: other kenmerken play no part.

        A view that follows every change; `in` may be asked by another thread.
        """
        of_kanaal = self._kanalen.get(kanaal)
        return () if of_kanaal is None else of_kanaal.names.keys()


class _OfKanaal:
    """The patterns of one kanaal. names: in how many of them each name is."""

    __slots__ = ("names", "patterns")

    def __init__(self) -> None:
        self.patterns: dict[Names, _Pattern] = {}
        self.names: Counter[str] = Counter()

    def put(self, names: Names, values: Values, uuid: UUID) -> None:
        if (pattern := self.patterns.get(names)) is None:
            pattern = self.patterns[names] = _Pattern(names)
            self.names.update(names)
        pattern.put(values, uuid)

    def remove(self, names: Names, values: Values, uuid: UUID) -> None:
        pattern = self.patterns[names]
        pattern.remove(values, uuid)
        if not pattern.rows:
            del self.patterns[names]
            for name in names:
                if (left := self.names[name] - 1) > 0:
                    self.names[name] = left
                else:
                    self.names.pop(name)  # `del` of a Counter takes three times as long


class _Pattern:
    """Abonnementen by the values that they ask of these names.

    rows: by all values. _projected: the entries of all projections in `_built` together, by values with None
    for each absent name; the places of None tell to which projection an entry belongs.
    """

    __slots__ = ("_built", "_names", "_projected", "_scans", "rows")

    def __init__(self, names: Names) -> None:
        self._names = names
        self.rows: dict[Values, list[UUID]] = {}
        self._projected: dict[Values, list[UUID]] = {}
        self._built: set[Absent] = set()
        self._scans = 0

    def put(self, values: Values, uuid: UUID) -> None:
        _append(self.rows, values, uuid)
        if len(self._built) > self._room():
            self._drop()
        for absent in self._built:
            _append(self._projected, _projection(values, absent), uuid)

    def remove(self, values: Values, uuid: UUID) -> None:
        """Call it for all rows of an abonnement: the first removes an entry that projections share."""
        _take_out(self.rows, values, uuid)
        for absent in self._built:
            _take_out(self._projected, _projection(values, absent), uuid)

    def matching(self, kenmerken: Mapping[str, str]) -> Collection[UUID]:
        """Each once. kenmerken: by normalised name."""
        values = tuple(map(kenmerken.get, self._names))
        if None not in values:
            return self.rows.get(values, ())
        if (found := self._projected.get(values)) is not None:
            return found
        absent = tuple([value is None for value in values])
        if absent in self._built:
            return ()
        if len(self._built) >= self._room():
            # Other projections may be needed by now than those that were built first. To drop them only
            # after as many scans keeps the cost of building below that of scanning.
            self._scans += 1
            if self._scans <= MOST_PROJECTIONS:
                return self._scan(values, absent)
            self._drop()
        self._build(absent)
        return self._projected.get(values, ())

    def _build(self, absent: Absent) -> None:
        projected: dict[Values, dict[UUID, None]] = {}
        for row, uuids in self.rows.items():
            projected.setdefault(_projection(row, absent), {}).update(dict.fromkeys(uuids))
        self._projected.update((values, list(uuids)) for values, uuids in projected.items())
        self._built.add(absent)

    def _scan(self, values: Values, absent: Absent) -> Collection[UUID]:
        hits = (uuids for row, uuids in self.rows.items() if _projection(row, absent) == values)
        return dict.fromkeys(chain.from_iterable(hits))

    def _room(self) -> int:
        """How many projections it may have."""
        return min(MOST_PROJECTIONS, max(LEAST_PROJECTIONS, MOST_ENTRIES // max(1, len(self.rows))))

    def _drop(self) -> None:
        self._projected = {}
        self._built = set()
        self._scans = 0


def is_large(kanalen: Iterable[FilterGroup]) -> bool:
    """Whether it has more than LARGE filters."""
    return sum(len(group.filters) for group in kanalen) > LARGE


def rows_of(kanalen: Iterable[FilterGroup]) -> Rows:
    """The rows of an abonnement on these."""
    rows: dict[tuple[str, Names, Values], None] = {}
    for group in kanalen:
        wanted: dict[str, object] = {}
        for name, value in group.filters:
            if value != WILDCARD and wanted.setdefault(normalise(name), value) != value:
                wanted[normalise(name)] = _CONTRADICTION
        names = tuple(sorted(wanted))
        rows[group.naam, names, tuple([wanted[name] for name in names])] = None
    return tuple(rows)


def _projection(values: Values, absent: Absent) -> Values:
    return tuple([None if gone else value for value, gone in zip(values, absent, strict=True)])


def _append(rows: dict[Values, list[UUID]], values: Values, uuid: UUID) -> None:
    """An abonnement's rows are put in one after another, so if it is in this list already it is the last."""
    uuids = rows.setdefault(values, [])
    if not uuids or uuids[-1] != uuid:
        uuids.append(uuid)


def _take_out(rows: dict[Values, list[UUID]], values: Values, uuid: UUID) -> None:
    uuids = rows.get(values, [])
    with suppress(ValueError):
        uuids.remove(uuid)
    if not uuids:
        rows.pop(values, None)
