"""How an abonnement wants to be delivered to: told in Dutch, and set. Options without a field here stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.forms import Form
from console.page import Refused, Visit
from operating import abonnementen
from schemas.abonnement import Abonnement
from schemas.delivery_options import DeliveryOptions, given_of
from schemas.delivery_options.order import HOUR
from schemas.errors import Conflict, UsageError
from schemas.fields import parse
from schemas.jsontext import write_json


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the form. name: of the option."""

    name: str
    label: str
    help: str
    value: str = ""


FIELDS: Sequence[Field] = (
    Field(
        "rate",
        "Ten hoogste zoveel verzoeken per seconde",
        "Van 0,01 tot en met 10.000. Wat te vroeg is, wacht; dat kost geen poging.",
    ),
    Field("concurrency", "Ten hoogste zoveel verzoeken tegelijk", "Van 1 tot en met 1.000."),
    Field(
        "consolidate",
        "Ten minste zoveel seconden tussen twee over dezelfde resource",
        "Van 1 tot en met 86.400. Van wat intussen wacht, gaat alleen de nieuwste.",
    ),
)


def _decimal(value: object) -> str:
    return str(value).replace(".", ",")


_TOLD: Mapping[str, Callable[[Any], str]] = {
    "rate": lambda value: f"ten hoogste {_decimal(value)} verzoeken per seconde",
    "concurrency": lambda value: f"ten hoogste {value} verzoeken tegelijk",
    "consolidate": lambda value: f"over dezelfde resource om de {value} seconden, en dan de nieuwste",
    "order": lambda value: (
        "op volgorde per hoofdObject; wat blijft mislukken, gaat opzij na "
        f"{_decimal(value.get('setAsideAfter', HOUR))} seconden"
    ),
}


def told_of(abonnement: Abonnement) -> list[str]:
    """What is set, a line for each option; CloudEvents are told on a page of their own (cloudevents.py)."""
    given = given_of(abonnement.options)
    return [_line(name, value) for name, value in given.items() if name != "cloudevents"]


def others_of(abonnement: Abonnement) -> list[str]:
    """The same of options without a field."""
    fields = {"cloudevents", *(each.name for each in FIELDS)}
    given = given_of(abonnement.options)
    return [_line(name, value) for name, value in given.items() if name not in fields]


def _line(name: str, value: Any) -> str:
    if name in _TOLD:
        return _TOLD[name](value)
    return f"{name}: {write_json(value).decode() if isinstance(value, dict | list) else value}"


def fields_of(abonnement: Abonnement) -> list[Field]:
    """The fields with what is set now."""
    given = given_of(abonnement.options)
    return [Field(each.name, each.label, each.help, _decimal(given.get(each.name, ""))) for each in FIELDS]


async def set_as_asked(visit: Visit, abonnement: Abonnement, form: Form) -> None:
    """Have it as the form says; an empty field is an option that is not set. Raises Refused."""
    asked = given_of(abonnement.options)
    for each in FIELDS:
        asked.pop(each.name, None)
        if text := form.text(each.name):
            asked[each.name] = text.replace(",", ".")
    wanted, faults = parse(DeliveryOptions, asked)
    if wanted is None:
        labels = {each.name: each.label for each in FIELDS}
        raise Refused(" ".join(f"{labels.get(each.name, each.name)}: {each.reason}" for each in faults))
    settings = visit.console.settings
    try:
        await abonnementen.set_options(
            visit.console.registry, visit.log, abonnement, wanted, settings=settings
        )
    except UsageError:
        raise Refused("Afleveropties staan in deze omgeving uit (NRC_DELIVERY_OPTIONS).") from None
    except Conflict:
        raise Refused("Het abonnement is intussen verwijderd.") from None
