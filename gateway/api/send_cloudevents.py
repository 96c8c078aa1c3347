"""The fields `sendCloudevents` and `cloudeventFilters` of an abonnement, and the handshake with its callback.

An extension of the standard's abonnement, as consumers of Open Notificaties know it. They are in answers of
abonnementen that get CloudEvents, and in no others, so that a client of the standard sees what it knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from deliverer.events import handshake
from deliverer.http.client import CallbackClient, Failure
from deliverer.http.dutch import why_none
from runtime.log import logger
from runtime.settings import Settings
from schemas.abonnement import Abonnement, events_of
from schemas.delivery_options import DeliveryOptions
from schemas.errors import InvalidParam, ValidationError
from schemas.events.mapping import BUILT_IN, EventMapping, mapping_named
from schemas.events.options import CloudEvents, EventFilter, as_groups
from schemas.fields import as_yes_or_text, parse

SEND, FILTERS = "sendCloudevents", "cloudeventFilters"
NAMES = frozenset({SEND, FILTERS})
_OFF = "CloudEvents staan in deze omgeving uit (NRC_CLOUDEVENTS). Vraag de beheerder ze aan te zetten."
_ONLY_WITH = "Filters op CloudEvents gelden alleen met sendCloudevents: true."

_PLAIN = CloudEvents.model_validate({})
_NONE = DeliveryOptions.model_validate({})

log = logger(__name__)


class _Asked(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True)

    send_cloudevents: Annotated[bool, BeforeValidator(as_yes_or_text)] = False
    cloudevent_filters: Annotated[list[EventFilter], BeforeValidator(as_groups)] = Field(default_factory=list)


def with_events(options: DeliveryOptions | None, events: CloudEvents | None) -> DeliveryOptions | None:
    """The options with another `cloudevents`; None where nothing is left."""
    return (options or _NONE).model_copy(update={"cloudevents": events}) or None


def shown(options: DeliveryOptions | None) -> dict[str, Any]:
    """The two fields as an answer has them; none of an abonnement that gets notificaties."""
    events = events_of(options)
    return {} if events is None else {SEND: True, FILTERS: events.as_filters()}


def asked_events(
    sent: Any, stored: DeliveryOptions | None, *, on: bool
) -> tuple[CloudEvents | None, list[InvalidParam]]:
    """What is asked of CloudEvents after a request, and its faults.

    sent: the request's data. What it does not name stays as it is `stored`, with PUT too: a client of the
    standard, which does not know these fields, does not switch them off. on: NRC_CLOUDEVENTS.
    """
    before = events_of(stored)
    if not on or not isinstance(sent, dict) or NAMES.isdisjoint(sent):
        return before, []
    asked, faults = parse(
        _Asked, {SEND: before is not None, **{name: sent[name] for name in NAMES & sent.keys()}}
    )
    if asked is None:
        return before, faults
    if not asked.send_cloudevents:
        return None, [InvalidParam(FILTERS, "invalid", _ONLY_WITH)] if asked.cloudevent_filters else []
    events = before or _PLAIN
    if FILTERS in sent:
        events = events.model_copy(update={"filters": tuple(asked.cloudevent_filters)})
    return events, []


async def agreed(client: CallbackClient, abonnement: Abonnement, *, settings: Settings) -> CloudEvents | None:
    """What it asks of CloudEvents, with the rate and the origin to which its callback agrees now.

    Without consent there are none of these, and events are sent all the same, unless
    NRC_CLOUDEVENTS_HANDSHAKE is required: then it raises ValidationError.
    """
    events = events_of(abonnement.options)
    if events is None or settings.cloudevents_handshake == "off" or abonnement.is_amqp:
        return events
    required = settings.cloudevents_handshake == "required"
    if settings.callback_check == "off" and not required:
        return events
    rate = abonnement.options.rate if abonnement.options else None
    answer = await handshake.ask(
        client,
        abonnement.callback_url,
        origin=handshake.origin_of(settings),
        auth=abonnement.auth,
        callback_auth=abonnement.callback_auth,
        rate=None if rate is None else rate * 60,
        timeout=settings.callback_timeout,
    )
    if isinstance(answer, handshake.Consent):
        return events.model_copy(update={"origin": answer.origin, "allowed_rate": answer.rate})
    why = (
        why_none(answer) if isinstance(answer, Failure) else "het antwoord heeft geen WebHook-Allowed-Origin"
    )
    if required:
        reason = f"De callback stemt niet in met CloudEvents van hier (OPTIONS): {why}."
        raise ValidationError([InvalidParam("callbackUrl", "no-consent", reason)])
    log.info("no consent to events", abonnement=str(abonnement.uuid), required=False)
    return events.model_copy(update={"origin": "", "allowed_rate": None})


def keeping(wanted: DeliveryOptions, known: DeliveryOptions | None) -> DeliveryOptions:
    """What is wanted, with the consent of the callback that is known, where it says nothing of that."""
    events, before = wanted.cloudevents, events_of(known)
    if events is None or before is None or events.origin or events.allowed_rate is not None:
        return wanted
    agreed_to = {"origin": before.origin, "allowed_rate": before.allowed_rate}
    return wanted.model_copy(update={"cloudevents": events.model_copy(update=agreed_to)})


async def settled(
    client: CallbackClient,
    wanted: Abonnement,
    before: DeliveryOptions | None,
    *,
    mappings: Mapping[str, EventMapping],
    settings: Settings,
) -> DeliveryOptions | None:
    """The options that it wants, as they are to be kept: with what its callback agrees to.

    before: what it has. mappings: own ones. Raises ValidationError. Nothing is asked where it wants the same
    of CloudEvents as it had.
    """
    events = events_of(wanted.options)
    if events is None or events == events_of(before):
        return wanted.options
    if not settings.cloudevents:
        raise ValidationError([InvalidParam("cloudevents", "invalid", _OFF)])
    if mapping_named(events.mapping, mappings) is None:
        known = ", ".join([*BUILT_IN, *mappings])
        reason = f"Er is geen mapping {events.mapping}; er zijn: {known}."
        raise ValidationError([InvalidParam("cloudevents.mapping", "invalid", reason)])
    return with_events(wanted.options, await agreed(client, wanted, settings=settings))


def kanalen_not_needed(data: Any, events: CloudEvents | None) -> Any:
    """The data of a request; one that is to get CloudEvents may leave `kanalen` out."""
    if events is None or not isinstance(data, Mapping) or "kanalen" in data:
        return data
    return {**data, "kanalen": []}
