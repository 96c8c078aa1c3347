"""Abonnement: a subscription: which notificaties, to which callback."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.callback_auth import CallbackAuth
from schemas.delivery_options import DeliveryOptions
from schemas.events.event import TYPE
from schemas.events.options import CloudEvents
from schemas.fields import EVENTS, AnyNaam, Auth, CallbackUrl, Filters, as_list, fault

WILDCARD = "*"
MAX_GROUPS = 1000
MAX_FILTERS = 10_000  # in all groups of one abonnement
AMQP = "amqp:"
"""How the callbackUrl of one begins whose consumer reads a queue in RabbitMQ (router/amqp_direct/)."""

GIVEN = "given to another application, which has yet to set its own auth"
"""The state_reason of one that has no `auth`: its owner was another application, whose that was."""


def too_many(groups: list[object]) -> str:
    """The reason when these items of `kanalen` exceed a limit, whatever else is wrong with them; else ""."""
    if len(groups) > MAX_GROUPS:
        return f"Een abonnement heeft ten hoogste {MAX_GROUPS} kanalen."
    filters = (group.get("filters") for group in groups if isinstance(group, dict))
    if sum(len(pairs) for pairs in filters if isinstance(pairs, dict)) > MAX_FILTERS:
        return f"Een abonnement heeft ten hoogste {MAX_FILTERS} filters."
    return ""


def as_groups(value: object) -> list[object]:
    """The items of `kanalen`, of which there may be so many."""
    items = as_list(value)
    if reason := too_many(items):
        raise fault("max_length", reason)
    return items


class FilterGroupRequest(BaseModel):
    """One item of `kanalen`: a kanaal's naam and, optionally, filters on its kenmerken."""

    model_config = ConfigDict(extra="ignore", strict=True)

    naam: AnyNaam
    filters: Filters = Field(default_factory=dict)


class AbonnementRequest(BaseModel):
    """What a POST or PUT of an abonnement must hold; unknown and read-only properties are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True)

    callback_url: CallbackUrl
    auth: Auth
    kanalen: Annotated[list[FilterGroupRequest], BeforeValidator(as_groups)]


@dataclass(frozen=True, slots=True)
class FilterGroup:
    """Filters on one kanaal: all pairs must match. filters: (name as sent, value), in order."""

    naam: str
    filters: tuple[tuple[str, str], ...] = ()


def events_of(options: DeliveryOptions | None) -> CloudEvents | None:
    """What an abonnement with these options asks of CloudEvents; None where it gets notificaties."""
    return None if options is None else options.cloudevents


def event_groups(options: DeliveryOptions | None) -> tuple[FilterGroup, ...]:
    """The filters on CloudEvents as groups on EVENTS, of which one must match; none: it gets no events.

    The part of a type that is asked is a filter on TYPE.
    """
    if (events := events_of(options)) is None:
        return ()
    return tuple(
        FilterGroup(EVENTS, ((TYPE, each.type_substring), *each.filters.items())) for each in events.filters
    )


class State(StrEnum):
    """Whether an abonnement is delivered to. If not, its queue keeps everything."""

    ACTIVE = "active"
    HELD = "held"
    """Its callback does not work; it is probed, and goes on by itself."""
    SUSPENDED = "suspended"
    """Its callback is gone (410), or an operator suspended it; until it is resumed."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Since when an abonnement is held, and when it is probed next (Unix seconds). probes: made so far."""

    since: float
    probes: int
    next_probe: float


@dataclass(frozen=True, slots=True)
class Abonnement:
    """An abonnement as the registry keeps it.

    auth: the Authorization value for the callback; never logged, never in an answer (so not in repr).
    callback_auth: what the callback asks for beyond that; as secret. None: nothing, and `auth` is not "",
    unless it is suspended as GIVEN.
    options: how it wants to be delivered to, beyond the standard. None: as ever.
    callback_url: "" of one whose consumer fetches what is for it (`is_pull`); that has no `auth` either.
    Of one of type amqp (`is_amqp`) it says which queue, and `auth` is the hash of its user's password.
    client_id: the application that made it, the only one that may change it.
    state_reason: for operators, e.g. `410 from callback`; of a held one its last error. hold: of a held one
    only. change: the registry's change number of its last change. kanalen_change: that of the last change of
    what it wants (`wants`); holds, a new callbackUrl or auth do not count. asks_attributes: whether a filter
    may be on an attribute (schemas/notificatie.py:ATTRIBUTES).
    """

    uuid: UUID
    callback_url: str
    auth: str = field(repr=False)
    kanalen: tuple[FilterGroup, ...]
    client_id: str
    state: State = State.ACTIVE
    state_reason: str = ""
    hold: Hold | None = None
    change: int = 0
    kanalen_change: int = 0
    callback_auth: CallbackAuth | None = field(default=None, repr=False)
    options: DeliveryOptions | None = None
    asks_attributes: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Look once, since each message to it depends on it."""
        asks = any(name.startswith("#") for group in self.kanalen for name, _ in group.filters)
        object.__setattr__(self, "asks_attributes", asks)

    @property
    def is_pull(self) -> bool:
        """Whether its consumer fetches what is for it; nothing is sent, and RabbitMQ has no queue."""
        return not self.callback_url

    @property
    def routed(self) -> tuple[FilterGroup, ...]:
        """Its kanalen, and its filters on CloudEvents as groups on EVENTS: by which messages come to it."""
        return self.kanalen if self.options is None else (*self.kanalen, *event_groups(self.options))

    @property
    def is_amqp(self) -> bool:
        """Whether its consumer reads its own queue in RabbitMQ, into which deliveries are published."""
        return self.callback_url.startswith(AMQP)

    def wants(self) -> frozenset[tuple[str, frozenset[tuple[str, str]]]]:
        """Its kanalen and filters as sets: equal for two abonnementen that ask for the same."""
        return frozenset((group.naam, frozenset(group.filters)) for group in self.routed)
