"""Kanaal: a source's channel, in requests and in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.fields import EVENTS, DocumentatieLink, FilterNaam, KanaalNaam, as_list, fault, normalise

MAX_FILTERS = 100
MAX_SLOTS = 14
NEW_SLOTS = MAX_SLOTS - 1
"""Slots that a kanaal gets at most: the last one is that of hoofdObject. Older kanalen may have MAX_SLOTS."""


def _filters(value: object) -> list[object]:
    items = as_list(value)
    if len(items) > MAX_FILTERS:
        raise fault("max_length", f"Een kanaal heeft ten hoogste {MAX_FILTERS} filters.")
    return items


class KanaalRequest(BaseModel):
    """What a POST of a kanaal must hold; unknown and read-only properties are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True)

    naam: KanaalNaam
    documentatie_link: DocumentatieLink = ""
    filters: Annotated[list[FilterNaam], BeforeValidator(_filters)] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kanaal:
    """A kanaal as the registry keeps it.

    filters: as sent, in order. slots: the normalised filter names that have a place in the routing key,
    at most 13 (14 in older kanalen), append-only (`slots_for`), so that earlier bindings keep their meaning.
    change: the registry's change number of its last change. client_id: the application that made it, whose
    quota it counts for; "" for an operator's, and where it was not kept.
    """

    uuid: UUID
    naam: str
    documentatie_link: str
    filters: tuple[str, ...]
    slots: tuple[str, ...]
    change: int = 0
    client_id: str = ""


EVENTS_KANAAL = Kanaal(UUID(int=0), EVENTS, "", (), ())
"""Its exchange is that of CloudEvents; it is in no registry, and no list of kanalen has it."""


def slots_for(filters: list[str] | tuple[str, ...], slots: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The slots after `filters` were registered on top of `slots`: append-only, distinct, at most 13."""
    kept = list(slots)
    for name in map(normalise, filters):
        if len(kept) >= NEW_SLOTS:
            break
        if name not in kept:
            kept.append(name)
    return tuple(kept)
