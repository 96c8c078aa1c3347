"""Mappings: which CloudEvent a notificatie becomes, or that it becomes none. Pure.

A mapping is a list of rules; the first that fits a notificatie counts. Its texts may name fields of the
notificatie between braces (FIELDS), and nothing else: no code runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from schemas.fields import as_list, as_text, fault, normalise, one_of

ON = "on"
GEMMA = "gemma"
MIJNOVERHEID = "mijnoverheid"
ANY = "*"
MAX_RULES = 200
MAX_TEXT = 500  # characters of a text with fields
KENMERK = "kenmerken."
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")
_FIELD = re.compile(r"\{([^{}]*)\}")
_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*(\.[^.\s]+)+")


def path_of(url: str) -> str:
    """What follows the server in a URL, or all of what has none: a relative reference to the same."""
    found = _SERVER.match(url)
    return (url[found.end() :] or "/") if found else url


def last_part(url: str) -> str:
    """The last part of its path, often an id; the whole URL where that has none."""
    path = path_of(url).partition("?")[0].partition("#")[0].rstrip("/")
    return path.rpartition("/")[2] or url


FIELDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        "kanaal": lambda of: str(of.get("kanaal", "")),
        "resource": lambda of: str(of.get("resource", "")),
        "actie": lambda of: str(of.get("actie", "")),
        "hoofdObject": lambda of: str(of.get("hoofdObject", "")),
        "hoofdObjectPath": lambda of: path_of(str(of.get("hoofdObject", ""))),
        "hoofdObjectId": lambda of: last_part(str(of.get("hoofdObject", ""))),
        "resourceUrl": lambda of: str(of.get("resourceUrl", "")),
        "resourceUrlPath": lambda of: path_of(str(of.get("resourceUrl", ""))),
        "resourceUrlId": lambda of: last_part(str(of.get("resourceUrl", ""))),
        "aanmaakdatum": lambda of: str(of.get("aanmaakdatum", "")),
    }
)
"""What a text of a rule may name, beside `kenmerken.<name>`: …Path without the server, …Id its last part."""


def filled(text: str, notificatie: Mapping[str, Any]) -> str:
    """The text with its fields filled in; a kenmerk that is absent gives nothing."""
    if "{" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith(KENMERK):
            return _kenmerk(notificatie.get("kenmerken"), normalise(name.removeprefix(KENMERK)))
        return FIELDS[name](notificatie)

    return _FIELD.sub(value, text)


def _kenmerk(kenmerken: Any, normalised: str) -> str:
    pairs = kenmerken.items() if isinstance(kenmerken, dict) else ()
    return next((str(value) for name, value in pairs if normalise(str(name)) == normalised), "")


def _template(value: Any) -> str:
    text = as_text(value)
    if len(text) > MAX_TEXT:
        raise fault("max_length", f"Dit veld mag niet langer zijn dan {MAX_TEXT} tekens.")
    if not text.isprintable():
        raise fault("invalid", "Stuurtekens zijn hier niet toegestaan.")
    for name in _FIELD.findall(text):
        if name not in FIELDS and not (name.startswith(KENMERK) and len(name) > len(KENMERK)):
            known = ", ".join(f"{{{each}}}" for each in FIELDS)
            raise fault("invalid", f"{{{name}}} bestaat niet; wel: {known} en {{kenmerken.<naam>}}.")
    if set("{}") & set(_FIELD.sub("", text)):
        raise fault("invalid", "Een accolade hoort om de naam van een veld te staan.")
    return text


def _type(value: Any) -> str:
    text = _template(value)
    if _TYPE.fullmatch(_FIELD.sub("x", text)) is None:
        raise fault("invalid", "Een type begint met een domeinnaam achterstevoren, zoals nl.overheid.zaken.")
    return text


def _pattern(value: Any) -> str:
    text = as_text(value)
    if not text or len(text) > 100:
        raise fault("invalid", f"Dit is een naam van 1 tot 100 tekens, of {ANY} voor elke.")
    return text


def _name(value: Any) -> str:
    text = as_text(value)
    if _NAME.fullmatch(text) is None:
        raise fault("invalid", "De naam van een mapping heeft 1 tot 50 van de tekens a-z, 0-9, punt, _ en -.")
    return text


def _own_name(value: Any) -> str:
    text = _name(value)
    if text in BUILT_IN:
        raise fault("unique", f"De mapping {text} is er al vanzelf; geef een andere naam.")
    return text


def _rules(value: Any) -> Any:
    if isinstance(value, tuple):
        return value
    items = as_list(value)
    if not items:
        raise fault("required", "Een mapping heeft ten minste een regel.")
    if len(items) > MAX_RULES:
        raise fault("max_length", f"Een mapping heeft ten hoogste {MAX_RULES} regels.")
    return items


class Data(StrEnum):
    """What is in the `data` of an event."""

    KENMERKEN = "kenmerken"
    """The kenmerken and hoofdObject."""
    NOTIFICATIE = "notificatie"
    """The whole notificatie, byte for byte."""
    NONE = "none"


Template = Annotated[str, BeforeValidator(_template)]
Pattern = Annotated[str, BeforeValidator(_pattern)]
MappingName = Annotated[str, BeforeValidator(_name)]
OwnMappingName = Annotated[str, BeforeValidator(_own_name)]


class Rule(BaseModel):
    """Which notificaties become which event."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kanaal: Pattern = Field(default=ANY, description="The kanaal, or * for every one.")
    resource: Pattern = Field(default=ANY, description="The resource, or * for every one.")
    actie: Pattern = Field(default=ANY, description="The actie, or * for every one.")
    type: Annotated[str, BeforeValidator(_type)] = Field(
        description="The type of the event, such as nl.overheid.{kanaal}.{resource}.{actie}."
    )
    data: Annotated[Data, BeforeValidator(one_of(Data, "Dit is kenmerken, notificatie of none."))] = Field(
        default=Data.KENMERKEN,
        description="What its data is: kenmerken (with hoofdObject), notificatie (all of it), or none.",
    )
    dataref: Template = Field(default="", description="Its dataref, such as {hoofdObject}; empty for none.")
    subject: Template = Field(default="{resourceUrlId}", description="Its subject; empty for none.")

    def fits(self, kanaal: str, resource: str, actie: str) -> bool:
        """Whether a notificatie with these is meant."""
        return (
            self.kanaal in (ANY, kanaal) and self.resource in (ANY, resource) and self.actie in (ANY, actie)
        )


class EventMapping(BaseModel):
    """Rules, the first that fits counts. What none fits becomes no event, and is not sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: Annotated[tuple[Rule, ...], BeforeValidator(_rules)] = Field(
        description="The rules; the first that fits counts."
    )

    def rule_of(self, notificatie: Mapping[str, Any]) -> Rule | None:
        """The rule for a notificatie; None when it becomes no event."""
        names = (
            str(notificatie.get("kanaal", "")),
            str(notificatie.get("resource", "")),
            str(notificatie.get("actie", "")),
        )
        return next((rule for rule in self.rules if rule.fits(*names)), None)

    def text(self) -> str:
        """As the registry keeps it."""
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def of_text(cls, text: str) -> EventMapping:
        """What `text` made. What a newer program added is left out."""
        return cls.model_validate_json(text, extra="ignore")


_ON_TYPE = "nl.overheid.{kanaal}.{resource}.{actie}"


def _zaak(resource: str, actie: str, what: str) -> Rule:
    """An event of MijnOverheid: about the zaak, without data, with a reference to it."""
    return Rule(
        kanaal="zaken",
        resource=resource,
        actie=actie,
        type=f"nl.overheid.zaken.zaak-{what}",
        data=Data.NONE,
        dataref="{hoofdObjectPath}",
        subject="{hoofdObjectId}",
    )


BUILT_IN: Mapping[str, EventMapping] = MappingProxyType(
    {
        ON: EventMapping(rules=(Rule(type=_ON_TYPE),)),
        GEMMA: EventMapping(rules=(Rule(type=_ON_TYPE, data=Data.NOTIFICATIE),)),
        MIJNOVERHEID: EventMapping(
            rules=(
                _zaak("status", "create", "gemuteerd"),
                _zaak("zaak", "read", "geopend"),
                _zaak("zaak", "destroy", "verwijderd"),
            )
        ),
    }
)
"""Those that are there by themselves.

on: as Open Notificaties makes it. gemma: what gemma-zaken#2608 proposes. mijnoverheid: what OMC documents.
"""


def mapping_named(name: str, own: Mapping[str, EventMapping]) -> EventMapping | None:
    """The mapping with this name; None when there is none."""
    return BUILT_IN.get(name) or own.get(name)
