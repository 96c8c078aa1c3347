"""Since when an abonnement is in its state, as far as the registry has it. Only looks."""

from __future__ import annotations

from schemas.abonnement import Abonnement, State
from store.registry import ActSearch, LastFailure, Registry

SUSPENDED = "abonnement suspended"
"""The act of an operator, in the registry."""


async def state_since(
    registry: Registry, abonnement: Abonnement, failure: LastFailure | None
) -> float | None:
    """Unix seconds; None for an active one, and where nobody noted it. failure: its last."""
    if abonnement.hold is not None:
        return abonnement.hold.since
    if abonnement.state is not State.SUSPENDED:
        return None
    found = await registry.acts(ActSearch(what=SUSPENDED, abonnement=str(abonnement.uuid)), limit=1)
    if found:
        return found[0].at
    # By a 410, which is the last that was sent to it.
    return failure.at if failure else None
