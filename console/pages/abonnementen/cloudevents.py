"""Whether an abonnement gets CloudEvents, and in which form: told in Dutch, and set as a form says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from console.forms import Form
from console.page import Refused, Visit
from gateway.api.send_cloudevents import with_events
from operating import abonnementen
from schemas.abonnement import Abonnement, events_of
from schemas.errors import Conflict, UsageError, ValidationError
from schemas.events.mapping import BUILT_IN
from schemas.events.options import CloudEvents, EventFilter
from schemas.fields import parse

NONE = "geen"
MODES = (
    (NONE, "notificaties, zoals de standaard"),
    ("structured", "CloudEvents, alles in de body (structured)"),
    ("binary", "CloudEvents, kenmerken in kopregels (binary)"),
)
_MAPPINGS = {
    "on": "on: zoals Open Notificaties ze maakt",
    "gemma": "gemma: met de hele notificatie als data",
    "mijnoverheid": "mijnoverheid: zaak geopend, gemuteerd of verwijderd",
}
SEQUENCE = (("", "zonder volgnummer"), ("ja", "met sequence (moment van aanname)"))


def told_of(abonnement: Abonnement) -> list[str]:
    """How it gets CloudEvents, a line for each fact; nothing where it gets notificaties."""
    events = events_of(abonnement.options)
    if events is None:
        return []
    lines = [f"vorm {events.mode}, mapping {events.mapping}{', met sequence' if events.sequence else ''}"]
    if events.origin:
        rate = "zonder grens" if events.allowed_rate is None else f"{events.allowed_rate:g} per minuut"
        lines.append(f"de callback stemde ermee in ({events.origin}), {rate}")
    else:
        lines.append("de callback is niet om instemming gevraagd, of gaf die niet")
    lines += [f"filter: {_line_of(each)}" for each in events.filters]
    return lines


def filled_in(abonnement: Abonnement) -> dict[str, str]:
    """The values of the form as it is now."""
    events = events_of(abonnement.options)
    if events is None:
        return {"vorm": NONE, "mapping": "on", "sequence": "", "filters": ""}
    return {
        "vorm": events.mode.value,
        "mapping": events.mapping,
        "sequence": "ja" if events.sequence else "",
        "filters": "\n".join(_line_of(each) for each in events.filters),
    }


def mappings_of(visit: Visit) -> list[tuple[str, str]]:
    """Each that can be chosen: its name, and a text."""
    own = visit.console.catalogue.mappings
    return [
        *((name, _MAPPINGS[name]) for name in BUILT_IN),
        *((name, f"{name}: eigen mapping") for name in own),
    ]


async def set_as_asked(visit: Visit, abonnement: Abonnement, form: Form) -> None:
    """Have it as the form says. Raises Refused."""
    wanted: CloudEvents | None = None
    if form.text("vorm") != NONE:
        asked: dict[str, Any] = {
            "mode": form.text("vorm"),
            "mapping": form.text("mapping"),
            "sequence": form.text("sequence") == "ja",
            "filters": _filters_of(abonnement, form),
        }
        wanted, faults = parse(CloudEvents, asked)
        if wanted is None:
            raise Refused(" ".join(f"{each.name}: {each.reason}" for each in faults))
    try:
        await abonnementen.set_options(
            visit.console.registry,
            visit.log,
            abonnement,
            with_events(abonnement.options, wanted),
            settings=visit.console.settings,
        )
    except ValidationError as error:
        raise Refused(" ".join(each.reason for each in error.invalid_params)) from None
    except UsageError:
        raise Refused("Afleveropties staan in deze omgeving uit (NRC_DELIVERY_OPTIONS).") from None
    except Conflict:
        raise Refused("Het abonnement is intussen verwijderd.") from None


def can_edit_filters(abonnement: Abonnement) -> bool:
    """Whether its filters can be written as lines of a form: not where a value has a `;`."""
    events = events_of(abonnement.options)
    try:
        return (
            events is None or [_filter_of(_line_of(each)) for each in events.filters] == events.as_filters()
        )
    except Refused:
        return False


def _filters_of(abonnement: Abonnement, form: Form) -> list[dict[str, Any]]:
    if not can_edit_filters(abonnement):
        events = events_of(abonnement.options)
        return events.as_filters() if events else []
    return [_filter_of(line) for line in form.text("filters").splitlines() if line.strip()]


def _line_of(each: EventFilter) -> str:
    """`nl.overheid.zaken; bronorganisatie=224557609`."""
    return "; ".join([each.type_substring, *(f"{name}={value}" for name, value in each.filters.items())])


def _filter_of(line: str) -> dict[str, Any]:
    substring, *pairs = (part.strip() for part in line.split(";"))
    return {"typeSubstring": substring, "filters": _pairs(pairs)}


def _pairs(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise Refused(f"'{pair}': schrijf naam=waarde, met een puntkomma ertussen.")
        found[name.strip()] = value.strip()
    return found
