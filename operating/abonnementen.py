"""What an operator does with an abonnement: suspend, resume, probe, give away, try its callback.

Each notes the act after it, and leaves telling the running processes to its caller.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from schemas.abonnement import Abonnement, State
from schemas.errors import Conflict, UsageError
from store.state_since import SUSPENDED

if TYPE_CHECKING:
    from deliverer.http.client import CallbackClient
    from extra.trying import Tried
    from operating.acts import Log
    from store.registry import Registry

BY_AN_OPERATOR = "by an operator"
"""The reason of a suspension for which none was given."""


async def suspend(registry: Registry, log: Log, uuid: UUID, *, reason: str = BY_AN_OPERATOR) -> Abonnement:
    """Deliver nothing to it any more, and keep what is for it, until `resume`. Raises Conflict."""
    changed = await registry.set_state(uuid, State.SUSPENDED, reason)
    if changed is None:
        raise _gone(uuid)
    await log.record(SUSPENDED, abonnement=uuid, reason=reason)
    return changed


async def resume(registry: Registry, log: Log, uuid: UUID) -> Abonnement:
    """Deliver to a suspended or held one again, with what was kept for it. Raises Conflict."""
    changed = await registry.set_state(uuid, State.ACTIVE, "")
    if changed is None:
        raise _gone(uuid)
    await log.record("abonnement resumed", abonnement=uuid)
    return changed


async def probe(registry: Registry, log: Log, abonnement: Abonnement) -> bool:
    """Have the callback of a held one tried now, and not at its next probe.

    False when it was probed or changed just now. Raises UsageError for one that is not held.
    """
    hold = abonnement.hold
    if hold is None:
        raise UsageError(f"abonnement {abonnement.uuid} is {abonnement.state}, and only a held one is probed")
    changed = await registry.set_hold(
        abonnement.uuid,
        replace(hold, next_probe=time.time()),
        abonnement.state_reason,
        before=hold,
        callback_url=abonnement.callback_url,
    )
    if changed is None:
        return False
    await log.record("probe asked for", abonnement=abonnement.uuid)
    return True


async def give(registry: Registry, log: Log, abonnement: Abonnement, *, to: str, reason: str) -> Abonnement:
    """Make it that of another application, which alone may change it from then on. Raises Conflict."""
    given = await registry.give_abonnement(abonnement.uuid, to=to)
    await log.record(
        "abonnement given",
        abonnement=abonnement.uuid,
        application=to,
        given_by=abonnement.client_id,
        reason=reason or None,
    )
    return given


async def try_callback(
    callbacks: CallbackClient, log: Log, abonnement: Abonnement, *, timeout: float
) -> Tried:
    """Send the standard's test message to its callback; what it answered. timeout: seconds.

    Raises Overloaded when this process has no files or memory left for a request.
    """
    from extra.trying import tried

    answer = await tried(callbacks, abonnement, timeout=timeout)
    await log.record("test message sent", abonnement=abonnement.uuid, status=answer.status)
    return answer


def _gone(uuid: UUID) -> Conflict:
    return Conflict(f"abonnement {uuid} was just removed.")
