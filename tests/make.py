"""Makes kanalen, abonnementen and messages for tests, which only give what they are about."""

from __future__ import annotations

from uuid import uuid4

from schemas.abonnement import Abonnement, FilterGroup
from schemas.kanaal import Kanaal, slots_for


def a_kanaal(naam: str, *filters: str) -> Kanaal:
    """A new kanaal with these filters."""
    return Kanaal(
        uuid=uuid4(), naam=naam, documentatie_link="", filters=tuple(filters), slots=slots_for(filters)
    )


def an_abonnement(*groups: tuple[str, dict[str, str]], callback: str = "http://127.0.0.1:9/") -> Abonnement:
    """A new abonnement on these (kanaal naam, filters)."""
    return Abonnement(
        uuid=uuid4(),
        callback_url=callback,
        auth="Token test",
        kanalen=tuple(FilterGroup(naam, tuple(filters.items())) for naam, filters in groups),
        client_id="test",
    )
