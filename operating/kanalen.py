"""Kanalen: registered, changed, removed; each noted. Telling the running processes is left to the caller."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

from operating.acts import Log
from schemas.abonnement import Abonnement
from schemas.errors import Conflict
from schemas.kanaal import Kanaal, slots_for
from store.registry import Registry


async def add_kanaal(
    registry: Registry, log: Log, *, naam: str, documentatie_link: str, filters: tuple[str, ...]
) -> Kanaal:
    """Register a kanaal. Raises Conflict when its naam is taken."""
    new = Kanaal(uuid4(), naam, documentatie_link, filters, slots_for(filters))
    added = await registry.add_kanaal(new)
    await log.record("kanaal added", kanaal=naam)
    return added


async def change_kanaal(
    registry: Registry,
    log: Log,
    kanaal: Kanaal,
    *,
    documentatie_link: str | None = None,
    filters: tuple[str, ...] | None = None,
) -> Kanaal:
    """Change what is not None. Raises Conflict when it is gone."""
    changed = await registry.update_kanaal(kanaal.uuid, documentatie_link=documentatie_link, filters=filters)
    await log.record(
        "kanaal changed", kanaal=kanaal.naam, documentatieLink=documentatie_link, filters=filters
    )
    return changed


async def remove_kanaal(registry: Registry, log: Log, kanaal: Kanaal) -> None:
    """Remove a kanaal, which no abonnement may use. Raises Conflict.

    A later reconcile removes its exchange: gateways may publish there until they know of the removal.
    """
    if not await registry.remove_kanaal(kanaal.uuid):
        raise Conflict(f"kanaal {kanaal.naam} is used by abonnementen, which go first")
    await log.record("kanaal removed", kanaal=kanaal.naam)


def users_of(naam: str, abonnementen: Iterable[Abonnement]) -> list[str]:
    """The UUIDs of the abonnementen that use a kanaal."""
    return sorted(str(each.uuid) for each in abonnementen if any(g.naam == naam for g in each.kanalen))
