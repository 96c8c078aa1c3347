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

from operating.removal import what_becomes, what_becomes_of_auth
from schemas.abonnement import Abonnement, FilterGroup, State, events_of
from schemas.errors import Conflict, UsageError
from store.state_since import SUSPENDED

if TYPE_CHECKING:
    from deliverer.http.client import CallbackClient
    from extra.trying import Tried
    from operating.acts import Log
    from router.requests import RouterClient
    from runtime.settings import Settings
    from schemas.callback_auth import CallbackAuth
    from schemas.delivery_options import DeliveryOptions
    from schemas.events.mapping import EventMapping
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
    new = replace(new, options=await _settled(registry, new, None, settings))
    await add_abonnement(registry, router, new)
    await log.record("abonnement added", abonnement=new.uuid, application=new.client_id)


async def add_pull(registry: Registry, log: Log, new: Abonnement) -> None:
    """Register one without a callback, which its consumer fetches; no router is asked. Raises Conflict."""
    await registry.add_abonnement(new)
    await log.record("abonnement added", abonnement=new.uuid, application=new.client_id)


async def add_amqp(registry: Registry, log: Log, new: Abonnement, *, router: RouterClient) -> bool:
    """Register one whose consumer reads a queue of its own. False: an operator makes its user.

    Raises BrokerError when nothing was made, Conflict.
    """
    from router.amqp_direct.registering import add_amqp

    ready = await add_amqp(registry, router, new)
    await log.record("abonnement added", abonnement=new.uuid, application=new.client_id)
    return ready


async def renew_amqp_password(
    registry: Registry, log: Log, abonnement: Abonnement, password: str, *, router: RouterClient
) -> bool:
    """Have its consumer log in to RabbitMQ by this from now on; False: an operator tells RabbitMQ.

    Raises BrokerError and Conflict.
    """
    from router.amqp_direct.registering import change_password

    ready = await change_password(registry, router, abonnement.uuid, password)
    await log.record("amqp password changed", abonnement=abonnement.uuid)
    return ready


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


async def set_options(
    registry: Registry,
    log: Log,
    abonnement: Abonnement,
    wanted: DeliveryOptions | None,
    *,
    settings: Settings,
) -> Abonnement:
    """Have it delivered to as it wants; None: as ever. No router is asked.

    Its callback is not tried, but is asked for consent where CloudEvents are wanted. Raises ValidationError
    where it must agree and does not, or for a mapping that there is not; UsageError of one whose consumer
    fetches, or where options are switched off; Conflict.
    """
    if reason := why_no_options(abonnement, wanted, settings):
        raise UsageError(f"abonnement {abonnement.uuid} {reason}")
    kept = await _settled(registry, replace(abonnement, options=wanted or None), abonnement.options, settings)
    changed = await registry.change_abonnement(abonnement.uuid, lambda latest: replace(latest, options=kept))
    await log.record(
        "delivery options changed",
        abonnement=abonnement.uuid,
        options=wanted.as_given() if wanted else {},
    )
    return changed


async def set_event_mapping(registry: Registry, log: Log, name: str, mapping: EventMapping | None) -> None:
    """Have a mapping of notificaties to CloudEvents; None: no longer. Raises Conflict while it is used."""
    if await registry.set_event_mapping(name, mapping):
        what = "event mapping removed" if mapping is None else "event mapping set"
        await log.record(what, mapping=name)


async def _settled(
    registry: Registry, wanted: Abonnement, before: DeliveryOptions | None, settings: Settings
) -> DeliveryOptions | None:
    """Its options as they are to be kept; its callback is asked for consent to CloudEvents it did not get.

    Raises ValidationError.
    """
    if events_of(wanted.options) is None:
        return wanted.options
    from deliverer.http.client import CallbackClient
    from gateway.api.send_cloudevents import settled

    mappings = await registry.event_mappings()
    async with CallbackClient.of(settings) as callbacks:
        return await settled(callbacks, wanted, before, mappings=mappings, settings=settings)


def why_no_options(abonnement: Abonnement, wanted: DeliveryOptions | None, settings: Settings) -> str:
    """Why it cannot have these options, to go on after its name; "" when it can. None can always be set."""
    if not wanted:
        return ""
    if abonnement.is_pull:
        return "is fetched by its consumer, and nothing is sent to it"
    return "" if settings.delivery_options else "can have no options: NRC_DELIVERY_OPTIONS is off"


async def _check(abonnement: Abonnement, callbacks: CallbackClient, settings: Settings) -> None:
    """Try its callback as the API does. Raises ValidationError when it does not pass."""
    from gateway.api.callback_check import check_callback_of

    await check_callback_of(callbacks, abonnement, settings=settings)


def must_have_some(auth: str, wanted: CallbackAuth | None) -> None:
    """Raise UsageError when a callback would be sent nothing by which it knows us, which nobody asked for."""
    if not auth and not (wanted and wanted.identifies):
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


async def resume(registry: Registry, log: Log, abonnement: Abonnement) -> Abonnement:
    """Deliver to a suspended or held one again, with what was kept for it.

    Raises UsageError of one whose callback would be sent nothing by which it knows us, and Conflict.
    """
    if reason := why_not_resumed(abonnement):
        raise UsageError(f"abonnement {abonnement.uuid} {reason}")
    changed = await registry.set_state(abonnement.uuid, State.ACTIVE, "")
    if changed is None:
        raise _gone(abonnement.uuid)
    await log.record("abonnement resumed", abonnement=abonnement.uuid)
    return changed


def why_not_resumed(abonnement: Abonnement) -> str:
    """Why it cannot be resumed, to go on after its name; "" when it can."""
    if abonnement.is_pull or abonnement.auth or abonnement.callback_auth:
        return ""
    return (
        "has no auth since it was given to another application: that sets its own by a PATCH, which resumes "
        "it, or you set what its callback asks for (nrc callback-auth)"
    )


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


async def give(
    registry: Registry, log: Log, abonnement: Abonnement, *, to: str, reason: str, keep_auth: bool
) -> Abonnement:
    """Make it that of another application, which alone may change it from then on. Raises Conflict.

    keep_auth: with what its callback gets now, which the new owner can then have sent wherever it likes.
    Else it is suspended until that has set its own.
    """
    given = await registry.give_abonnement(abonnement.uuid, to=to, keep_auth=keep_auth)
    await log.record(
        "abonnement given",
        abonnement=abonnement.uuid,
        application=to,
        given_by=abonnement.client_id,
        auth=what_becomes_of_auth(keep=keep_auth),
        reason=reason or None,
    )
    return given


async def try_callback(
    callbacks: CallbackClient, log: Log, abonnement: Abonnement, *, settings: Settings
) -> Tried:
    """Send the standard's test message to its callback; what it answered.

    Raises Overloaded when this process has no files or memory left for a request.
    """
    from extra.trying import tried

    answer = await tried(callbacks, abonnement, settings=settings)
    await log.record("test message sent", abonnement=abonnement.uuid, status=answer.status)
    return answer


def _gone(uuid: UUID) -> Conflict:
    return Conflict(f"abonnement {uuid} was just removed.")
