"""What an operator does with an abonnement: make, change, remove, suspend, resume, probe, give away, try it.

Each notes the act after it, and leaves telling the running processes to its caller. What makes or changes one
checks its callback as the API does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from operating.removal import what_becomes
from schemas.abonnement import Abonnement, FilterGroup, State
from schemas.errors import Conflict, UsageError
from store.state_since import SUSPENDED

if TYPE_CHECKING:
    from deliverer.http.client import CallbackClient
    from extra.trying import Tried
    from operating.acts import Log
    from router.requests import RouterClient
    from runtime.settings import Settings
    from schemas.callback_auth import CallbackAuth
    from store.registry import Registry

BY_AN_OPERATOR = "by an operator"
"""The reason of a suspension for which none was given."""


async def add(
    registry: Registry,
    log: Log,
    new: Abonnement,
    *,
    router: RouterClient,
    callbacks: CallbackClient,
    settings: Settings,
) -> None:
    """Register it, with the UUID and the application that it has, when its callback passes the check.

    Raises ValidationError when it does not, BrokerError when no router declares its queue, Conflict.
    """
    from router.registering import add_abonnement

    await _check(new, callbacks, settings)
    await add_abonnement(registry, router, new)
    await log.record("abonnement added", abonnement=new.uuid, application=new.client_id)


async def add_pull(registry: Registry, log: Log, new: Abonnement) -> None:
    """Register one without a callback, which its consumer fetches; no router is asked. Raises Conflict."""
    await registry.add_abonnement(new)
    await log.record("abonnement added", abonnement=new.uuid, application=new.client_id)


async def change(
    registry: Registry,
    log: Log,
    abonnement: Abonnement,
    wanted: Mapping[str, Any],
    *,
    router: RouterClient,
    callbacks: CallbackClient,
    settings: Settings,
) -> None:
    """Change its callback_url, auth, callback_auth or kanalen. Raises as `add`.

    Another callback_url, auth or callback_auth is checked first, and a suspended or held one that passes is
    resumed.
    """
    from router.registering import RESUMED, change_abonnement

    resumed: Mapping[str, Any] = {}
    if not wanted.keys().isdisjoint({"callback_url", "auth", "callback_auth"}):
        await _check(replace(abonnement, **wanted), callbacks, settings)
        resumed = RESUMED
    await change_abonnement(registry, router, abonnement.uuid, {**wanted, **resumed})
    await log.record("abonnement changed", abonnement=abonnement.uuid, changed=sorted(wanted))


async def set_callback_auth(
    registry: Registry,
    log: Log,
    abonnement: Abonnement,
    wanted: CallbackAuth | None,
    *,
    callbacks: CallbackClient,
    settings: Settings,
) -> Abonnement:
    """Have its callback get what it asks for beyond `auth`; None: nothing any more. No router is asked.

    The callback is checked first, and a suspended or held one that passes is resumed. Raises ValidationError
    when it does not pass, UsageError when nothing would be left to send, Conflict.
    """
    from router.registering import RESUMED

    must_have_some(abonnement.auth, wanted)
    await _check(replace(abonnement, callback_auth=wanted), callbacks, settings)
    changed = await registry.change_abonnement(
        abonnement.uuid, lambda latest: replace(latest, callback_auth=wanted, **RESUMED)
    )
    await log.record(
        "callback auth changed", abonnement=abonnement.uuid, kinds=wanted.kinds if wanted else ()
    )
    return changed


async def _check(abonnement: Abonnement, callbacks: CallbackClient, settings: Settings) -> None:
    """Try its callback as the API does. Raises ValidationError when it does not pass."""
    from gateway.api.callback_check import check_callback

    await check_callback(
        callbacks,
        url=abonnement.callback_url,
        auth=abonnement.auth,
        callback_auth=abonnement.callback_auth,
        settings=settings,
    )


def must_have_some(auth: str, wanted: CallbackAuth | None) -> None:
    """Raise UsageError when a callback would be sent nothing by which it knows us, which nobody asked for."""
    if not auth and not wanted:
        raise UsageError("it has no auth: without callbackAuth nothing would be sent; give one, or noAuth")


async def change_pull(
    registry: Registry, log: Log, abonnement: Abonnement, kanalen: tuple[FilterGroup, ...]
) -> None:
    """Change what one asks for that its consumer fetches. Raises Conflict."""
    await registry.change_abonnement(abonnement.uuid, lambda latest: replace(latest, kanalen=kanalen))
    await log.record("abonnement changed", abonnement=abonnement.uuid, changed=["kanalen"])


async def remove(registry: Registry, log: Log, uuid: UUID, *, keep: bool) -> bool:
    """Remove it; False when it is gone already. What waits is ended by `removal.end_what_waits`."""
    if not await registry.remove_abonnement(uuid):
        return False
    await log.record("abonnement removed", abonnement=uuid, waiting=what_becomes(keep=keep))
    return True


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
