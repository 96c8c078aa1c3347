"""The predicate: whether a notificatie matches an abonnement. And the standard's check of names.

The deliverer applies it to each message: bindings in RabbitMQ may let through more than this, never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.abonnement import WILDCARD, Abonnement
from schemas.events.event import TYPE
from schemas.fields import EVENTS, normalise


def matches(abonnement: Abonnement, kanaal: str, kenmerken: Mapping[str, str]) -> bool:
    """Whether any filter group of the abonnement matches: AND within a group, OR between groups.

    kenmerken: and attributes (schemas/notificatie.py:values_in); without those, filters on them are ignored.
    Values are compared exactly, names normalised. A filter on a kenmerk that the notificatie lacks is
    ignored, and the value `*` matches anything (STANDARD: Matching).

    Of an event (kanaal EVENTS) kenmerken are `schemas.events.event.event_values`, and a filter on TYPE asks
    a text that is somewhere in its type.
    """
    if kanaal == EVENTS:
        return _event_matches(abonnement, kenmerken)
    values = {normalise(name): value for name, value in kenmerken.items()}
    return any(
        group.naam == kanaal
        and all(
            wanted == WILDCARD or values.get(normalise(name), wanted) == wanted
            for name, wanted in group.filters
        )
        for group in abonnement.kanalen
    )


def _event_matches(abonnement: Abonnement, values: Mapping[str, str]) -> bool:
    type_ = values[TYPE]
    of_data = {normalise(name): value for name, value in values.items()}
    return any(
        group.naam == EVENTS
        and all(
            wanted == WILDCARD
            or (wanted in type_ if name == TYPE else of_data.get(normalise(name), wanted) == wanted)
            for name, wanted in group.filters
        )
        for group in abonnement.routed
    )


def names_fit(names: Iterable[str], filters: Iterable[str]) -> bool:
    """The standard's check of kenmerk or filter names against a kanaal's filters, after normalising.

    A subset or a superset is fine; no names, or a kanaal without filters, always is.
    """
    if not (known := {normalise(name) for name in filters}):
        return True
    given = {normalise(name) for name in names}
    return given <= known or given >= known
