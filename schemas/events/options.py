"""The part `cloudevents` of an abonnement's options: that it gets CloudEvents, which, and in which form.

An extension. In requests and answers of the standard's API it stands as `sendCloudevents` and
`cloudeventFilters`, as consumers of Open Notificaties send these.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema
from pydantic.alias_generators import to_camel

from schemas.events.mapping import ON, MappingName
from schemas.fields import as_list, as_pairs, as_text, as_yes_or_text, fault, one_of

MAX_GROUPS = 1000
MAX_SUBSTRING = 255  # characters
LEAST_A_MINUTE, MOST_A_MINUTE = 0.6, 10**9  # the former as the least `rate`: one in 100 seconds


class Mode(StrEnum):
    """How an event stands in an HTTP request."""

    STRUCTURED = "structured"
    """All of it in the body, application/cloudevents+json."""
    BINARY = "binary"
    """Its data in the body, the rest in headers `ce-…`."""


def _substring(value: Any) -> str:
    text = as_text(value)
    if len(text) > MAX_SUBSTRING:
        raise fault("max_length", f"Dit veld mag niet langer zijn dan {MAX_SUBSTRING} tekens.")
    return text


def as_groups(value: Any) -> Any:
    """The items of `cloudeventFilters`."""
    if isinstance(value, tuple):  # checked before
        return value
    items = as_list(value)
    if len(items) > MAX_GROUPS:
        raise fault("max_length", f"Een abonnement heeft ten hoogste {MAX_GROUPS} cloudeventFilters.")
    return items


def _rate(value: Any, info: ValidationInfo) -> float | None:
    if value is None:
        return None
    try:
        rate = float(str(value))
    except ValueError:
        rate = 0.0
    if info.context is not None and info.context.get("kept"):  # what the registry has is not refused
        return max(rate, LEAST_A_MINUTE)
    if not LEAST_A_MINUTE <= rate <= MOST_A_MINUTE or isinstance(value, bool):
        raise fault("invalid", "Dit is een aantal verzoeken per minuut, 0,6 of meer.")
    return rate


def _origin(value: Any) -> str:
    text = as_text(value)
    if len(text) > MAX_SUBSTRING or not (text.isascii() and text.isprintable()):
        raise fault("invalid", "Dit is de naam van een host.")
    return text


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid", frozen=True
    )


class EventFilter(_Part):
    """Which events: those whose type has this text in it, and whose data has these values."""

    type_substring: Annotated[str, BeforeValidator(_substring)] = Field(
        default="", description="A text that is somewhere in the type of the event; empty for every type."
    )
    filters: Annotated[dict[str, str], BeforeValidator(as_pairs(max_key=100))] = Field(
        default_factory=dict, description="Values that the data of the event must have, by their names."
    )


class CloudEvents(_Part):
    """That an abonnement gets CloudEvents, by the NL GOV profile, in place of notificaties."""

    filters: Annotated[tuple[EventFilter, ...], BeforeValidator(as_groups)] = Field(
        default=(), description="Which CloudEvents that sources publish as such; any of these is enough."
    )
    mode: Annotated[Mode, BeforeValidator(one_of(Mode, "Dit is structured of binary."))] = Field(
        default=Mode.STRUCTURED,
        description="structured: all in the body. binary: attributes in headers ce-….",
    )
    mapping: MappingName = Field(
        default=ON,
        description="Which event a notificatie becomes: on, gemma, mijnoverheid, or a mapping of your own.",
    )
    sequence: Annotated[bool, BeforeValidator(as_yes_or_text)] = Field(
        default=False,
        description="Whether events have a `sequence`, by which their order of acceptance is known.",
    )
    allowed_rate: Annotated[
        float | None, BeforeValidator(_rate), WithJsonSchema({"type": "number", "minimum": LEAST_A_MINUTE})
    ] = Field(
        default=None,
        description="Requests a minute that the callback allows, as its answer to OPTIONS says "
        "(WebHook-Allowed-Rate). Left out: no limit.",
    )
    origin: Annotated[str, BeforeValidator(_origin)] = Field(
        default="",
        description="WebHook-Request-Origin of each request, once the callback agreed to it "
        "(WebHook-Allowed-Origin).",
    )

    def as_filters(self) -> list[dict[str, Any]]:
        """Its filters as `cloudeventFilters` of the API has them."""
        return [{"typeSubstring": each.type_substring, "filters": each.filters} for each in self.filters]
