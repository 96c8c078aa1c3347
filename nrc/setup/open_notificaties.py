"""The setup_configuration file of Open Notificaties as a setup file of ours; what is not taken is told.

Such a file has steps, each with `<step>_enable: true` and its content under a name of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nrc.setup.faults import Fault, Path
from nrc.setup.reading import Document
from schemas.application import Scope

ENABLE = "_enable"
_TRUE = ("true", "yes", "on", "1", "t", "y")

_STEPS: Mapping[str, tuple[str, str]] = {
    "vng_api_common_credentials_config": ("vng_api_common_credentials", ""),
    "notifications_kanalen_config": ("notifications_kanalen_config", ""),
    "notifications_abonnementen_config": ("notifications_abonnementen_config", ""),
    "oidc_db_config": ("oidc_db_config_admin_auth", "the console has NRC_CONSOLE_OIDC_… settings for that"),
    "zgw_consumers_config": ("zgw_consumers", "nothing here calls other services"),
    "autorisaties_api_config": (
        "autorisaties_api",
        "the Autorisaties API is the setting NRC_AC_URL here; --scopes-from-ac has applications ask it",
    ),
    "notifications_config": (
        "notifications_config",
        "when deliveries are tried again is the setting NRC_RETRY_SCHEDULE here",
    ),
    "notifications_subscriptions_config": (
        "notifications_subscriptions_config",
        "this is the NRC itself, and needs no abonnement at one",
    ),
    "sites_config": ("sites_config", "the address of the API is the setting NRC_PUBLIC_URL here"),
}
"""By step: the name of its content, and why it is not taken ("" where it is)."""

_CLIENT = {"clientId": "auth_client_id", "secret": "secret"}
API_KEY = "api_key"
ASKS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "zgw": ("zgw", _CLIENT),
    "oauth2_client_credentials": (
        "oauth2",
        {**_CLIENT, "tokenUrl": "oauth2_token_url", "scope": "oauth2_scope"},
    ),
    "no_auth": ("noAuth", {}),
}
"""By auth_type, other than api_key: what the callback asks for, and its fields, ours and there.

There auth_client_id is both the owner of an abonnement and the client at the callback.
"""

_ITEMS: Mapping[str, frozenset[str]] = {
    "vng_api_common_credentials": frozenset({"identifier", "secret"}),
    "notifications_kanalen_config": frozenset({"naam", "documentatie_link", "filters"}),
    "notifications_abonnementen_config": frozenset(
        {"uuid", "callback_url", "auth_type", "auth", "auth_client_id", "secret", "oauth2_token_url"}
        | {"oauth2_scope", "send_cloudevents", "kanalen", "cloudevent_filters"}
    ),
}
"""By content: the names that an item of Open Notificaties 1.16 has."""


ONLY_WITH_EVENTS = "filters on CloudEvents only count with send_cloudevents: true"


def events_option(filters: list[dict[str, Any]]) -> dict[str, Any]:
    """The options of an abonnement that gets CloudEvents, as Open Notificaties makes them."""
    return {"cloudevents": {"filters": filters} if filters else {}}


@dataclass(slots=True)
class Translated:
    """The file as ours. not_taken: what is not, each with its place and why."""

    document: Document
    not_taken: list[Fault] = field(default_factory=list)


def is_of_open_notificaties(document: Document) -> bool:
    """Whether a file is one of Open Notificaties, by the names of its steps."""
    value = document.value
    return isinstance(value, dict) and any(name.endswith(ENABLE) for name in value)


def translated(
    document: Document, *, scopes: Sequence[Scope], scopes_from_ac: bool, owner: str | None
) -> Translated:
    """Such a file as ours: kanalen, abonnementen, and credentials as applications.

    scopes, scopes_from_ac: what its applications may do, which the file does not tell; () and False leave
    that as it is. owner: the application of abonnementen without an auth_client_id.
    """
    rights = rights_of(scopes, scopes_from_ac=scopes_from_ac)
    return _Translation(document, rights, owner).all()


def rights_of(scopes: Sequence[Scope], *, scopes_from_ac: bool) -> Mapping[str, Any]:
    """The fields of an application that say what it may do; none when neither is given."""
    if scopes_from_ac:
        return {"scopesFromAc": "true"}
    return {"scopes": [scope.value for scope in scopes]} if scopes else {}


def unknown_auth_type(auth_type: str) -> str:
    """Why an abonnement with this auth_type is not taken; "" where it is."""
    if auth_type == API_KEY or auth_type in ASKS:
        return ""
    return f"auth_type {auth_type}: there are {', '.join((API_KEY, *ASKS))}"


def renamed(item: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What is in an item of theirs, by our names. names: ours, and there."""
    return {ours: item[there] for ours, there in names.items() if item.get(there) not in (None, "")}


class _Translation:
    def __init__(self, document: Document, rights: Mapping[str, Any], owner: str | None) -> None:
        self._from = document
        self._rights = rights
        self._owner = owner
        made = Document(faults=document.faults, value={})
        self._to = Translated(made)

    def all(self) -> Translated:
        value: dict[str, Any] = self._from.value
        steps = {content: step for step, (content, _) in _STEPS.items()}
        for name in value:
            if name.endswith(ENABLE):
                self._step(name)
            elif name not in steps:
                self._not_taken((name,), "this name is unknown here")
            elif f"{steps[name]}{ENABLE}" not in value:
                self._not_taken((name,), f"there is no {steps[name]}{ENABLE}: true")
        for section, of in (
            ("applications", self._applications()),
            ("kanalen", self._kanalen()),
            ("abonnementen", self._abonnementen()),
        ):
            if of is not None:
                self._to.document.value[section] = of
        return self._to

    def _not_taken(self, path: Path, reason: str) -> None:
        self._to.not_taken.append(self._from.fault(path, reason))

    def _step(self, name: str) -> None:
        step = name.removesuffix(ENABLE)
        if step not in _STEPS:
            self._not_taken((name,), "this step is unknown here")
        elif self._is_on(step) and (why := _STEPS[step][1]):
            self._not_taken((_STEPS[step][0],), why)

    def _is_on(self, step: str) -> bool:
        return str(self._from.value.get(f"{step}{ENABLE}", "")).lower() in _TRUE

    def _items(self, step: str) -> list[tuple[Path, dict[str, Any]]] | None:
        """Each item of a step with its place; None for a step that is off."""
        content = _STEPS[step][0]
        if not self._is_on(step):
            return None
        found = self._from.value.get(content)
        items = found.get("items") if isinstance(found, dict) else None
        if not isinstance(items, list):
            self._to.document.faults.append(self._from.fault((content,), "a list stands here, under items"))
            return []
        kept = []
        for index, item in enumerate(items):
            path: Path = (content, "items", index)
            if not isinstance(item, dict):
                self._to.document.faults.append(self._from.fault(path, "names and their values stand here"))
                continue
            for name in item.keys() - _ITEMS[content]:
                self._not_taken((*path, name), "this name is unknown here")
            kept.append((path, item))
        return kept

    def _made(self, section: str, index: int, path: Path, names: Mapping[str, str]) -> None:
        """Note where the parts of an item of ours stand in the file. names: ours, and there."""
        document, place = self._to.document, (section, index)
        document.lines[place] = self._from.line(path)
        document.origins[place] = path
        for ours, there in names.items():
            document.lines[(*place, ours)] = self._from.line((*path, there))
            document.origins[(*place, ours)] = (*path, there)

    def _applications(self) -> list[dict[str, Any]] | None:
        items = self._items("vng_api_common_credentials_config")
        if items is None:
            return None
        made: list[dict[str, Any]] = []
        for path, item in items:
            names = {"clientId": "identifier", "secret": "secret"}
            self._made("applications", len(made), path, names)
            made.append({**renamed(item, names), **self._rights})
        return made

    def _kanalen(self) -> list[dict[str, Any]] | None:
        items = self._items("notifications_kanalen_config")
        if items is None:
            return None
        made: list[dict[str, Any]] = []
        for path, item in items:
            names = {"naam": "naam", "documentatieLink": "documentatie_link", "filters": "filters"}
            self._made("kanalen", len(made), path, names)
            made.append(renamed(item, names))
        return made

    def _abonnementen(self) -> list[dict[str, Any]] | None:
        items = self._items("notifications_abonnementen_config")
        if items is None:
            return None
        made: list[dict[str, Any]] = []
        for path, item in items:
            if why := self._why_not(item):
                self._not_taken(path, f"{_told(item)}: {why}")
                continue
            names = {
                "uuid": "uuid",
                "callbackUrl": "callback_url",
                "clientId": "auth_client_id",
                "kanalen": "kanalen",
            }
            asks = ASKS.get(item.get("auth_type", API_KEY))
            if asks is None:
                names["auth"] = "auth"
            self._made("abonnementen", len(made), path, names)
            abonnement = {"clientId": self._owner, "kanalen": [], **renamed(item, names)}
            if asks is not None:
                abonnement["callbackAuth"] = self._callback_auth(len(made), path, item, *asks)
            if str(item.get("send_cloudevents", "false")).lower() in _TRUE:
                abonnement["options"] = self._events(len(made), path, item)
            elif item.get("cloudevent_filters"):
                self._not_taken((*path, "cloudevent_filters"), ONLY_WITH_EVENTS)
            made.append(abonnement)
        return made

    def _events(self, index: int, path: Path, item: Mapping[str, Any]) -> dict[str, Any]:
        """The options of an abonnement that gets CloudEvents. A filter there may be a text: of the type."""
        place = ("abonnementen", index, "options", "cloudevents", "filters")
        self._to.document.lines[place] = self._from.line((*path, "cloudevent_filters"))
        self._to.document.origins[place] = (*path, "cloudevent_filters")
        found = item.get("cloudevent_filters") or []
        if not isinstance(found, list):
            return {"cloudevents": {"filters": found}}
        names = {"typeSubstring": "type_substring", "filters": "filters"}
        groups = []
        for each in found:
            if isinstance(each, dict):
                unknown = {name: value for name, value in each.items() if name not in names.values()}
                groups.append({**renamed(each, names), **unknown})
            else:
                groups.append({"typeSubstring": each})
        return events_option(groups)

    def _callback_auth(
        self, index: int, path: Path, item: Mapping[str, Any], kind: str, names: Mapping[str, str]
    ) -> dict[str, Any]:
        """What the callback of an abonnement asks for in place of `auth`. names: ours, and there."""
        if not names:
            return {kind: "true"}
        place = ("abonnementen", index, "callbackAuth", kind)
        for ours, there in names.items():
            self._to.document.lines[(*place, ours)] = self._from.line((*path, there))
            self._to.document.origins[(*place, ours)] = (*path, there)
        return {kind: renamed(item, names)}

    def _why_not(self, item: Mapping[str, Any]) -> str:
        """Why an abonnement is not taken, else ""."""
        if why := unknown_auth_type(item.get("auth_type", API_KEY)):
            return why
        if not item.get("auth_client_id") and self._owner is None:
            return "it has no auth_client_id, whose it would be: name an application with --owner"
        return ""


def _told(item: Mapping[str, Any]) -> str:
    """An abonnement as people recognise it, on one line."""
    return re.sub(r"\s+", " ", str(item.get("uuid") or item.get("callback_url") or "an abonnement"))
