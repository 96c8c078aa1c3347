"""Writes an abonnement into the registry and has the router declare it, in an order that loses nothing.

For whoever registers: gateways, and operators. It checks nothing of what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from router.requests import RouterClient
from runtime.log import logger
from schemas.abonnement import Abonnement, State, event_groups
from schemas.errors import BrokerError, RegistryError
from store.registry import Registry

RESUMED: Mapping[str, Any] = MappingProxyType({"state": State.ACTIVE, "state_reason": "", "hold": None})
"""What is written of an abonnement whose callback passed the check, so that it is delivered to again."""

log = logger(__name__)


async def add_abonnement(
    registry: Registry, router: RouterClient, new: Abonnement, *, quota: int | None = None
) -> Abonnement:
    """Store it and have its queue declared; when that fails, remove it again. Returns it as stored.

    quota: as of `Registry.add_abonnement`. Raises RegistryError, and BrokerError when no router declares it.
    """
    await router.at_work()
    abonnement = await registry.add_abonnement(new, quota=quota)
    try:
        await router.apply_abonnement(abonnement.uuid)
    except BrokerError:
        with suppress(RegistryError):
            await registry.remove_abonnement(abonnement.uuid)
        raise
    return abonnement


async def change_abonnement(
    registry: Registry, router: RouterClient, uuid: UUID, wanted: Mapping[str, Any]
) -> Abonnement:
    """Have the new bindings declared, write the change, and have the former bindings removed.

    In this order what matches the former or the new filters always has a binding, and a failure before the
    write changes nothing. wanted: fields of Abonnement; only these are written, since others may have changed
    meanwhile. Raises Conflict when it is gone, BrokerError when no router declares the new bindings.
    """
    groups = (*wanted.get("kanalen", ()), *event_groups(wanted.get("options")))
    await router.prepare_abonnement(uuid, groups)
    changed = await registry.change_abonnement(uuid, lambda latest: replace(latest, **wanted))
    try:
        await router.finish_abonnement(uuid)
    except BrokerError as error:  # the change is written; reconcile removes the former bindings
        log.warning("former bindings not removed yet", abonnement=str(uuid), reason=str(error))
    return changed
