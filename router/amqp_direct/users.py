"""Has RabbitMQ have the users of consumers that there should be, with their rights and no more.

Runs in the active router alone: at its start, after a change, and every INTERVAL, so that what RabbitMQ lost,
or what was changed by hand, is as it should be again. Another user than ours is never touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from hmac import compare_digest
from typing import Any
from uuid import UUID

from router import names
from router.amqp_direct.connecting import LIMITS, rights_of
from router.amqp_direct.management import Management
from router.catalogue import Catalogue
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.errors import BrokerUnavailable, RegistryError

INTERVAL = 60.0  # seconds between two looks
AGAIN = 5.0  # seconds until the next look after one that failed

log = logger(__name__)


class Users:
    """The users of consumers, in one RabbitMQ. why_not: why they may not be as they should, or ""."""

    def __init__(self, management: Management, catalogue: Catalogue) -> None:
        self._management = management
        self._catalogue = catalogue
        self._look = asyncio.Event()
        self._one = asyncio.Lock()
        self.why_not = ""

    def look(self) -> None:
        """Look soon: something changed."""
        self._look.set()

    async def ensure(self, uuid: UUID) -> None:
        """Return once the user of this abonnement is there, with its password and rights; or gone with it.

        Raises BrokerUnavailable.
        """
        abonnement = self._catalogue.abonnementen.get(uuid)
        async with self._one:
            if abonnement is None or not abonnement.is_amqp:
                await self._management.remove_user(names.amqp_queue(uuid))
            else:
                await self._put(abonnement)

    async def run(self) -> None:
        """Look and mend, until cancelled."""
        while True:
            self._look.clear()
            pause = INTERVAL
            try:
                await self.mend()
                self.why_not = ""
            except (BrokerUnavailable, RegistryError) as error:
                pause = AGAIN
                if self.why_not != str(error):
                    self.why_not = str(error)
                    log.warning("users of consumers not looked at", reason=self.why_not)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look.wait()

    async def mend(self) -> None:
        """Make what is missing, correct what differs, remove what no abonnement has.

        Raises BrokerUnavailable or RegistryError.
        """
        async with self._one:
            users, rights = await self._management.users(), await self._management.rights()
            # After that, so that no user is taken for one whose abonnement is gone.
            await self._catalogue.refresh()
            wanted = {
                names.amqp_queue(each.uuid): each
                for each in self._catalogue.abonnementen.values()
                if each.is_amqp
            }
            for user, abonnement in wanted.items():
                if not _stands(user, abonnement, users.get(user), rights.get(user)):
                    await self._put(abonnement)
                    log.warning("user of a consumer made or mended", abonnement=str(abonnement.uuid))
            # Only with rights in our virtual host: another NRC may have its users in this RabbitMQ too.
            for user in rights.keys() - wanted.keys():
                if (uuid := names.abonnement_of_amqp(user)) is not None:
                    await self._management.remove_user(user)
                    log.info("user of a consumer removed", abonnement=str(uuid))

    async def _put(self, abonnement: Abonnement) -> None:
        user = names.amqp_queue(abonnement.uuid)
        await self._management.put_user(user, abonnement.auth)
        await self._management.put_rights(user, rights_of(user))
        for limit, value in LIMITS.items():
            await self._management.put_limit(user, limit, value)


def _stands(
    user: str, abonnement: Abonnement, found: Mapping[str, Any] | None, rights: Mapping[str, str] | None
) -> bool:
    """Whether RabbitMQ has this user as it should be."""
    if found is None or rights is None:
        return False
    limits = found.get("limits") or {}
    return (
        compare_digest(str(found.get("password_hash", "")).encode(), abonnement.auth.encode())
        and not found.get("tags")
        and dict(rights) == rights_of(user)
        and all(limits.get(limit) == value for limit, value in LIMITS.items())
    )
