"""Rules for fields of a request that depend on the registry, beyond those of `schemas`.

Pure: every function gets what the registry holds and returns faults. Other fields of the data may be wrong,
since a client gets all faults at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticValidationError

from gateway.api.attribute_filters import attribute_faults, of_kenmerken
from router.matching.filters import names_fit
from runtime.settings import Settings
from schemas.abonnement import too_many
from schemas.errors import InvalidParam
from schemas.fields import AnyNaam, KanaalNaam, normalise, repeated_names
from schemas.kanaal import Kanaal

V = TypeVar("V")

_ANY_NAAM: TypeAdapter[str] = TypeAdapter(AnyNaam)
_KANAAL_NAAM: TypeAdapter[str] = TypeAdapter(KanaalNaam)


TAKEN = InvalidParam("naam", "unique", "Er bestaat al een kanaal met deze naam.")


def naam_faults(data: Any, kanalen: Mapping[str, Kanaal], changes: Kanaal | None) -> list[InvalidParam]:
    """The fault of a new kanaal whose naam is taken, or of a request that changes the naam of one."""
    naam = _sound(_KANAAL_NAAM, _get(data, "naam"))
    if changes is None:
        return [TAKEN] if naam in kanalen else []
    if naam in (None, changes.naam):
        return []
    return [InvalidParam("naam", "wijzigen-niet-toegelaten", "De naam van een kanaal kan niet wijzigen.")]


def scheme_faults(data: Any, settings: Settings) -> list[InvalidParam]:
    """The fault of a callbackUrl that is not https, when the operator requires that."""
    url = _get(data, "callbackUrl")
    if not settings.callback_require_https or not isinstance(url, str):
        return []
    if not url.strip().lower().startswith("http:"):  # https, or no URL, which is reported already
        return []
    reason = "De callbackUrl moet met https beginnen; de beheerder eist dat met NRC_CALLBACK_REQUIRE_HTTPS."
    return [InvalidParam("callbackUrl", "invalid", reason)]


def group_faults(data: Any, kanalen: Mapping[str, Kanaal], settings: Settings) -> list[InvalidParam]:
    """The faults of an abonnement's `kanalen`: an unknown one, filters that do not fit it, duplicates."""
    spelling = settings.attribute_filters
    groups = _get(data, "kanalen")
    if not isinstance(groups, list) or too_many(groups):
        return []
    faults = []
    for index, group in enumerate(groups):
        faults += repeated_names(group, under=f"kanalen.{index}.")
        naam = _sound(_ANY_NAAM, _get(group, "naam"))
        filters = _get(group, "filters", {})
        if naam is None:
            continue
        if (kanaal := kanalen.get(naam)) is None:
            faults.append(InvalidParam("naam", "kanaal_naam", f"Er bestaat geen kanaal '{naam}'."))
        elif isinstance(filters, dict):
            faults += attribute_faults(filters, kanaal, spelling, under=f"kanalen.{index}.filters.")
            asked = _sound_names(of_kenmerken(filters, kanaal, spelling))
            if not names_fit(asked, kanaal.filters):
                reason = _unknown_filters(naam, asked, kanaal.filters)
                faults.append(InvalidParam("filters", "inconsistent-abonnement-filters", reason))
    return faults


def _unknown_filters(naam: str, asked: Iterable[str], known: Iterable[str]) -> str:
    slots = {normalise(name) for name in known}
    unknown = ", ".join(f"'{name}'" for name in asked if normalise(name) not in slots)
    there = ", ".join(f"'{name}'" for name in known)
    return f"Kanaal '{naam}' heeft geen filter {unknown}; wel: {there}."


def _other_kenmerken(naam: str, sent: Iterable[str], known: Iterable[str]) -> str:
    slots, names = {normalise(name) for name in known}, {normalise(name) for name in sent}
    more = ", ".join(f"'{name}'" for name in sent if normalise(name) not in slots)
    less = ", ".join(f"'{name}'" for name in known if normalise(name) not in names)
    return (
        f"De kenmerken komen niet overeen met de filters van kanaal '{naam}': dat heeft geen {more}, en in "
        f"de notificatie ontbreekt {less}. Een van beide mag."
    )


def message_faults(data: Any, kanalen: Mapping[str, Kanaal]) -> list[InvalidParam]:
    """The fault of a notificatie on an unknown kanaal, or with kenmerken that do not fit it."""
    naam = _sound(_KANAAL_NAAM, _get(data, "kanaal"))
    kenmerken = _get(data, "kenmerken", {})
    if naam is None:
        return []
    if (kanaal := kanalen.get(naam)) is None:
        return [InvalidParam("kanaal", "message_kanaal", f"Er bestaat geen kanaal '{naam}'.")]
    if isinstance(kenmerken, dict) and not names_fit(_sound_names(kenmerken), kanaal.filters):
        reason = _other_kenmerken(naam, _sound_names(kenmerken), kanaal.filters)
        return [InvalidParam("kenmerken", "kenmerken_inconsistent", reason)]
    return []


def _get(data: Any, name: str, default: Any = None) -> Any:
    return data.get(name, default) if isinstance(data, dict) else None


def _sound_names(pairs: Mapping[str, Any]) -> list[str]:
    """The valid names; the faults of others are reported elsewhere."""
    return [name for name in pairs if _sound(_ANY_NAAM, name) is not None]


def _sound(adapter: TypeAdapter[V], value: Any) -> V | None:
    """The value when it is valid, else None: that fault is reported elsewhere."""
    try:
        return adapter.validate_python(value)
    except PydanticValidationError:
        return None
