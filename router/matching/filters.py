"""The predicate: whether a notificatie matches an abonnement. And the standard's check of names.

The deliverer applies it to each message: bindings in RabbitMQ may let through more than this, never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.abonnement import WILDCARD, Abonnement
from schemas.fields import normalise


def matches(abonnement: Abonnement, kanaal: str, kenmerken: Mapping[str, str]) -> bool:
    """Whether any filter group of the abonnement matches: AND within a group, OR between groups.

    Values are compared exactly, names normalised. A filter on a kenmerk that the notificatie lacks is
    ignored, and the value `*` matches anything (STANDARD: Matching).
    """
    values = {normalise(name): value for name, value in kenmerken.items()}
    return any(
        group.naam == kanaal
        and all(
            wanted == WILDCARD or values.get(normalise(name), wanted) == wanted
            for name, wanted in group.filters
        )
        for group in abonnement.kanalen
    )


def names_fit(names: Iterable[str], filters: Iterable[str]) -> bool:
    """The standard's check of kenmerk or filter names against a kanaal's filters, after normalising.

    A subset or a superset is fine; no names, or a kanaal without filters, always is.
    """
    if not (known := {normalise(name) for name in filters}):
        return True
    given = {normalise(name) for name in names}
    return given <= known or given >= known
