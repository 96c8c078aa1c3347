"""Finds the abonnementen that match a notificatie, by look-ups in dicts instead of testing each abonnement.

The result equals `router/matching/filters.py:matches` for every abonnement; of events (kanaal EVENTS) it
leaves the filters on their type out of account.

The shape of a notificatie is the set of its kenmerken that any filter on its kanaal names. A kanaal has a
view for each shape. A filter on a kenmerk that the notificatie lacks is ignored, so in a view each filter
group is reduced to the names of the shape. Groups that are left with the same names form one table, from the
values that they ask to their abonnementen. A notificatie costs one look-up in each table of its view.

A view is built when it is first needed, and then kept up to date. A kanaal has at most MOST_VIEWS; for a
shape without a view every filter group is tested.

No I/O. Not thread-safe, except for `names` and `rows_of`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from itertools import chain
from uuid import UUID

from schemas.abonnement import WILDCARD, Abonnement, FilterGroup
from schemas.events.event import TYPE
from schemas.fields import EVENTS, normalise
from schemas.notificatie import ATTRIBUTES, Notificatie

MOST_VIEWS = 64  # of a kanaal: every shape when its filters have six names
LEAST_VIEWS = 8  # of a kanaal, also with very many groups
MOST_ENTRIES = 160_000  # of the views of a kanaal together, while they are more than LEAST_VIEWS

LARGE = 2000
"""Filters of an abonnement above which `rows_of` may take more than some milliseconds."""

_CONTRADICTION = object()  # stands for two different values asked of one name: equal to no value

Groups = tuple[FilterGroup, ...]
Wanted = Mapping[str, object]  # what a group asks, by normalised name, without `*`
Rows = Mapping[str, tuple[Wanted, ...]]  # of an abonnement, by naam of the kanaal


class Index:
    """Abonnementen by what their filters ask. Their state, hold and owner play no part."""

    def __init__(self) -> None:
        self._kanalen: dict[str, _OfKanaal] = {}
        self._groups: dict[UUID, Groups] = {}
        self._large: dict[UUID, Rows] = {}  # kept, so that a removal need not make them again

    def put(self, abonnement: Abonnement, rows: Rows | None = None) -> None:
        """Add an abonnement, or replace its kanalen. rows: `rows_of` its kanalen, when already made."""
        uuid, kanalen = abonnement.uuid, abonnement.routed
        if self._groups.get(uuid) == kanalen:
            return
        self.remove(uuid)
        self._groups[uuid] = kanalen
        if rows is None:
            rows = rows_of(kanalen)
        if is_large(kanalen):
            self._large[uuid] = rows
        for naam, wanted in rows.items():
            self._kanalen.setdefault(naam, _OfKanaal()).put(uuid, wanted)

    def remove(self, uuid: UUID) -> None:
        """Remove an abonnement. No-op when it is not there."""
        kanalen, rows = self._groups.pop(uuid, ()), self._large.pop(uuid, None)
        for naam, wanted in (rows_of(kanalen) if rows is None else rows).items():
            of_kanaal = self._kanalen[naam]
            of_kanaal.remove(uuid, wanted)
            if not of_kanaal.groups:
                del self._kanalen[naam]

    def matching(
        self, kanaal: str, kenmerken: Mapping[str, str], notificatie: Notificatie | None = None
    ) -> tuple[UUID, ...]:
        """The abonnementen that match, each once, in no order. notificatie: for filters on its attributes."""
        if (of_kanaal := self._kanalen.get(kanaal)) is None:
            return ()
        values = {normalise(name): value for name, value in kenmerken.items()}
        if of_kanaal.asks_attributes and notificatie is not None:
            values |= notificatie.attributes
        return of_kanaal.matching(values)

    def names(self, kanaal: str) -> Collection[str]:
        """The normalised names that filters on this kanaal use: a live view. `in` is safe in any thread."""
        of_kanaal = self._kanalen.get(kanaal)
        return () if of_kanaal is None else of_kanaal.names.keys()


class _OfKanaal:
    """The filter groups on one kanaal, by abonnement. names: how many of them ask each name."""

    __slots__ = ("_scans", "_size", "asks_attributes", "groups", "names", "views")

    def __init__(self) -> None:
        self.groups: dict[UUID, tuple[Wanted, ...]] = {}
        self.names: Counter[str] = Counter()
        self.views: dict[frozenset[str], _View] = {}
        self.asks_attributes = False
        self._size = 0
        self._scans = 0

    def put(self, uuid: UUID, groups: tuple[Wanted, ...]) -> None:
        self.groups[uuid] = groups
        self._size += len(groups)
        if len(self.views) > self._room():
            self.views = {}
        for wanted in groups:
            self.names.update(wanted.keys())
            for view in self.views.values():
                view.put(wanted, uuid)
        self.asks_attributes = not self.names.keys().isdisjoint(ATTRIBUTES)

    def remove(self, uuid: UUID, groups: tuple[Wanted, ...]) -> None:
        del self.groups[uuid]
        self._size -= len(groups)
        gone: set[str] = set()
        for wanted in groups:
            for view in self.views.values():
                view.remove(wanted, uuid)
            for name in wanted:
                if (left := self.names[name] - 1) > 0:
                    self.names[name] = left
                else:
                    self.names.pop(name)  # `del` of a Counter takes three times as long
                    gone.add(name)
        if gone:
            # No notificatie has a shape with these names any more.
            self.views = {shape: view for shape, view in self.views.items() if shape.isdisjoint(gone)}
            self.asks_attributes = not self.names.keys().isdisjoint(ATTRIBUTES)

    def matching(self, values: Mapping[str, str]) -> tuple[UUID, ...]:
        """values: by normalised name."""
        shape = frozenset([name for name in values if name in self.names])
        if (view := self.views.get(shape)) is not None:
            return view.matching(values)
        if len(self.views) >= self._room():
            # Other shapes may be frequent now. Views are dropped only after as many scans, so that building
            # them costs less than scanning.
            self._scans += 1
            if self._scans <= MOST_VIEWS:
                asked = {name: values[name] for name in shape}
                return tuple(
                    uuid
                    for uuid, groups in self.groups.items()
                    if any(
                        all(wanted.get(name, asked[name]) == asked[name] for name in asked)
                        for wanted in groups
                    )
                )
            self._scans = 0
            self.views = {}
        view = self.views[shape] = _View(shape)
        for uuid, groups in self.groups.items():
            for wanted in groups:
                view.put(wanted, uuid)
        return view.matching(values)

    def _room(self) -> int:
        return min(MOST_VIEWS, max(LEAST_VIEWS, MOST_ENTRIES // max(1, self._size)))


class _View:
    """Abonnementen for notificaties of one shape: by the names that they ask, then by the values."""

    __slots__ = ("_names", "_tables")

    def __init__(self, shape: Iterable[str]) -> None:
        self._names = tuple(sorted(shape))
        self._tables: dict[tuple[str, ...], dict[tuple[object, ...], list[UUID]]] = {}

    def put(self, wanted: Wanted, uuid: UUID) -> None:
        """Add a group. All groups of one abonnement come in succession, so it is last in a list."""
        names, values = self._place(wanted)
        uuids = self._tables.setdefault(names, {}).setdefault(values, [])
        if not uuids or uuids[-1] != uuid:
            uuids.append(uuid)

    def remove(self, wanted: Wanted, uuid: UUID) -> None:
        """Remove a group. Groups of one abonnement share one item of a list; the first call removes it."""
        names, values = self._place(wanted)
        table = self._tables.get(names, {})
        uuids = table.get(values, [])
        with suppress(ValueError):
            uuids.remove(uuid)
        if not uuids:
            table.pop(values, None)
        if not table:
            self._tables.pop(names, None)

    def _place(self, wanted: Wanted) -> tuple[tuple[str, ...], tuple[object, ...]]:
        names = tuple([name for name in self._names if name in wanted])
        return names, tuple([wanted[name] for name in names])

    def matching(self, values: Mapping[str, str]) -> tuple[UUID, ...]:
        found = [
            hit
            for names, table in self._tables.items()
            if (hit := table.get(tuple([values[name] for name in names])))
        ]
        return tuple(found[0]) if len(found) == 1 else tuple(dict.fromkeys(chain.from_iterable(found)))


def is_large(kanalen: Groups) -> bool:
    """Whether it has more than LARGE filters."""
    return sum(len(group.filters) for group in kanalen) > LARGE


def rows_of(kanalen: Groups) -> Rows:
    """What the index keeps of an abonnement on these: each filter group once, by kanaal."""
    rows: dict[str, dict[FilterGroup, Wanted]] = {}
    for group in kanalen:
        of_kanaal = rows.setdefault(group.naam, {})
        if group not in of_kanaal:
            of_kanaal[group] = _wanted(group)
    return {naam: tuple(groups.values()) for naam, groups in rows.items()}


def _wanted(group: FilterGroup) -> Wanted:
    wanted: dict[str, object] = {}
    of_type = TYPE if group.naam == EVENTS else None
    for name, value in group.filters:
        if (
            value != WILDCARD
            and name != of_type
            and wanted.setdefault(normal := normalise(name), value) != value
        ):
            wanted[normal] = _CONTRADICTION
    return wanted
