"""Makes an abonnement of type amqp, and gives its consumer another password.

For whoever registers: gateways, and operators. It checks nothing of what it is given.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from router.amqp_direct.passwords import hash_of
from router.registering import add_abonnement
from router.requests import RouterClient
from schemas.abonnement import Abonnement
from schemas.errors import BrokerError, RegistryError
from store.registry import Registry


async def add_amqp(
    registry: Registry, router: RouterClient, new: Abonnement, *, quota: int | None = None
) -> bool:
    """Store it, and have its queues declared and its user made; when that fails, it is removed again.

    False: everything but the user, since the router has no management API; an operator makes it. quota: as of
    `Registry.add_abonnement`. Raises RegistryError and BrokerError.
    """
    added = await add_abonnement(registry, router, new, quota=quota)
    try:
        return await router.ensure_user(added.uuid)
    except BrokerError:
        with suppress(RegistryError, BrokerError):
            await registry.remove_abonnement(added.uuid)
            await router.apply_abonnement(added.uuid)
        raise


async def change_password(registry: Registry, router: RouterClient, uuid: UUID, password: str) -> bool:
    """Have its user log in by this password from now on; connections that are open stay.

    False: as of `add_amqp`. Raises Conflict when it is gone, RegistryError and BrokerError.
    """
    hashed = hash_of(password)
    await registry.change_abonnement(uuid, lambda latest: replace(latest, auth=hashed))
    return await router.ensure_user(uuid)
