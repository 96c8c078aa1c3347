"""Filters on attributes of the notificatie itself: `#actie`, `#resource` and `#hoofdObject`.

What is asked is checked and brought into one spelling here; that of a plain `actie` is optional. From here on
they are filters like any other, which `router/matching` finds in `Notificatie.attributes`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from schemas.abonnement import WILDCARD, FilterGroup, FilterGroupRequest
from schemas.errors import InvalidParam
from schemas.fields import is_http_url, normalise
from schemas.kanaal import Kanaal
from schemas.notificatie import ATTRIBUTES, HOOFD_OBJECT

Spelling = Literal["on", "also-plain", "off"]  # the setting NRC_ATTRIBUTE_FILTERS

MAX_LENGTH = 100  # of actie and resource in a notificatie
ACTIES = frozenset({"create", "read", "list", "update", "partial_update", "destroy"})
"""Those that are published. Any other text may be asked: the standard leaves actie free."""
_MARKED = {normalise(attribute): "#" + attribute for attribute in ATTRIBUTES.values()}


def groups_of(
    items: Iterable[FilterGroupRequest], kanalen: Mapping[str, Kanaal], spelling: Spelling
) -> tuple[FilterGroup, ...]:
    """The filter groups of a request, with `#actie` for a plain `actie` where that is such a filter."""
    return tuple(
        FilterGroup(each.naam, tuple(marked(each.filters, kanalen.get(each.naam), spelling).items()))
        for each in items
    )


def marked(filters: Mapping[str, str], kanaal: Kanaal | None, spelling: Spelling) -> dict[str, str]:
    """The filters of one group, in their order. A kenmerk of the kanaal with such a name is that kenmerk."""
    return {_marked(name, kanaal, spelling): value for name, value in filters.items()}


def _marked(name: str, kanaal: Kanaal | None, spelling: Spelling) -> str:
    if spelling != "also-plain" or kanaal is None:
        return name
    known = {normalise(each) for each in kanaal.filters}
    return _MARKED.get(normal, name) if (normal := normalise(name)) not in known else name


def of_kenmerken(filters: Mapping[str, Any], kanaal: Kanaal, spelling: Spelling) -> dict[str, Any]:
    """The filters of a group that are on kenmerken."""
    if spelling == "off":
        return dict(filters)
    return {
        name: value
        for name, value in filters.items()
        if normalise(_marked(name, kanaal, spelling)) not in ATTRIBUTES
    }


def attribute_faults(
    filters: Mapping[str, Any], kanaal: Kanaal, spelling: Spelling, *, under: str
) -> list[InvalidParam]:
    """The faults of a group's filters on attributes: a value that no notificatie has, or one asked twice.

    under: a prefix for the names, such as `kanalen.0.filters.`. Faults of values that are no text are found
    elsewhere.
    """
    if spelling == "off":
        return []
    faults, seen = [], set()
    for name, value in filters.items():
        normal = normalise(_marked(name, kanaal, spelling))
        if normal not in ATTRIBUTES or not isinstance(value, str):
            continue
        reason = _why_none(normal, value)
        if normal in seen:
            reason = f"Er staat al een filter op {ATTRIBUTES[normal]} (met of zonder #)."
        if reason:
            faults.append(InvalidParam(under + name, "invalid", reason))
        seen.add(normal)
    return faults


def name_faults(filters: Any, spelling: Spelling) -> list[InvalidParam]:
    """The fault of a kanaal's filters that have the name of an attribute."""
    if spelling == "off" or not isinstance(filters, list):
        return []
    taken = [name for name in filters if isinstance(name, str) and normalise(name) in ATTRIBUTES]
    if not taken:
        return []
    names = ", ".join(f"'{name}'" for name in taken)
    reason = f"{names} kan geen kenmerk zijn: zo filtert een abonnement op een eigenschap van elk bericht."
    return [InvalidParam("filters", "invalid", reason)]


def _why_none(normal: str, value: str) -> str:
    """Why no notificatie can match this value, in Dutch; "" when one can."""
    attribute = ATTRIBUTES[normal]
    if value == WILDCARD:
        return ""
    if normal == HOOFD_OBJECT:
        if is_http_url(value):
            return ""
        return "Een hoofdObject is een volledige http- of https-URL; zet die hier helemaal, of *."
    if not value.strip():
        return f"Een bericht heeft altijd een {attribute}; laat dit filter weg, of zet er een waarde."
    if len(value) > MAX_LENGTH:
        return f"{attribute} is in een bericht nooit langer dan {MAX_LENGTH} tekens."
    tidy = value.strip().lower()
    if attribute == "actie" and tidy in ACTIES and tidy != value:
        return f"Waarden worden letterlijk vergeleken: schrijf '{tidy}'."
    return ""
