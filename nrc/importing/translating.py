"""The rows of an Open Notificaties as a setup file of ours; each thing that is not taken is told.

What does not fit the model of a setup file is told and left out, so that one such row does not stop the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from nrc.importing.source import (
    ABONNEMENT,
    APPLICATIE,
    AUTORISATIE,
    CLOUDEVENT_FILTER,
    CLOUDEVENT_GROUP,
    COUNTED,
    FILTER,
    GROUP,
    KANAAL,
    SECRET,
    Row,
    Source,
)
from nrc.setup.checking import checked
from nrc.setup.faults import Fault, Faults, Path
from nrc.setup.open_notificaties import (
    API_KEY,
    ASKS,
    ONLY_WITH_EVENTS,
    Translated,
    events_option,
    renamed,
    rights_of,
    unknown_auth_type,
)
from nrc.setup.reading import Document
from schemas.application import Scope, read_scope

_CERTIFICATES: Mapping[str, str] = {
    "client_certificate": "its files are not in the database: set it here with nrc callback-auth certificate",
    "server_certificate": "its file is not in the database: set it here with nrc callback-auth ca",
}


def translated(
    source: Source, *, scopes: Sequence[Scope], scopes_from_ac: bool, owner: str | None
) -> Translated:
    """What is there as a setup file.

    scopes, scopes_from_ac: what its applications may do, in place of what its applicaties say. owner: the
    application of abonnementen that have none there.
    """
    return _Translation(source, rights_of(scopes, scopes_from_ac=scopes_from_ac), owner).all()


class _Translation:
    def __init__(self, source: Source, rights: Mapping[str, Any], owner: str | None) -> None:
        self._source = source
        self._rights = rights
        self._owner = owner
        self._to = Translated(Document(value={}))

    def all(self) -> Translated:
        for section, kind, items in (
            ("kanalen", "kanaal", self._kanalen()),
            ("applications", "application", self._applications()),
            ("abonnementen", "abonnement", self._abonnementen()),
        ):
            value: list[dict[str, Any]] = []
            self._to.document.value[section] = value
            for name, item in items:
                path: Path = (kind, name)
                if self._fits(section, item, path):
                    self._to.document.origins[section, len(value)] = path
                    value.append(item)
        for table, why in COUNTED.items():
            if count := self._source.counted.get(table, 0):
                self._not_taken((table,), f"{count} row(s): {why}")
        return self._to

    def _not_taken(self, path: Path, reason: str) -> None:
        self._to.not_taken.append(Fault(path, reason))

    def _fits(self, section: str, item: dict[str, Any], path: Path) -> bool:
        try:
            checked("", Document(value={section: [item]}, origins={(section, 0): path}))
        except Faults as faults:
            self._to.not_taken += faults.faults
            return False
        return True

    def _kanalen(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (
                str(row["naam"]),
                _without_empty(
                    naam=row["naam"],
                    documentatieLink=row.get("documentatie_link"),
                    filters=_list(row.get("filters")),
                ),
            )
            for row in self._source.rows(KANAAL)
        ]

    def _applications(self) -> list[tuple[str, dict[str, Any]]]:
        of = self._applicaties()
        made = []
        for row in self._source.rows(SECRET):
            client_id = str(row["identifier"])
            label, rights = of.pop(client_id, ("", None))
            item = _without_empty(clientId=client_id, secret=row["secret"], label=label)
            if self._rights:
                item |= self._rights
            elif rights is not None:
                item["scopes"] = sorted(rights)
            else:
                reason = (
                    "no applicatie names it, so its scopes are not known: --scopes-from-ac, or --scope; "
                    "until then it may do nothing"
                )
                self._not_taken(("application", client_id, "scopes"), reason)
            made.append((client_id, item))
        for client_id in of:
            reason = "an applicatie names it, and there is no secret of it"
            self._not_taken(("application", client_id), reason)
        return made

    def _applicaties(self) -> dict[str, tuple[str, set[str] | None]]:
        """By client id: the label, and its scopes here; None when nothing there says so."""
        found: dict[str, tuple[str, set[str] | None]] = {}
        rights: dict[str, set[str]] = {}
        said: set[str] = set()
        for row in self._source.rows(AUTORISATIE):
            if str(row.get("component", "")).lower() != "nrc":
                continue
            said.add(str(row["applicatie_id"]))
            for text in _list(row.get("scopes")):
                if (scope := read_scope(text)) is not None:
                    rights.setdefault(str(row["applicatie_id"]), set()).add(scope.value)
                else:
                    self._not_taken(("applicatie", str(row["applicatie_id"])), f"there is no scope {text}")
        for row in self._source.rows(APPLICATIE):
            keys = {str(row.get("id")), str(row.get("uuid"))}
            own: set[str] | None = set().union(*(rights.get(key, set()) for key in keys))
            if row.get("heeft_alle_autorisaties"):
                own = {scope.value for scope in Scope}
            elif not keys & said:
                own = None
            for client_id in _list(row.get("client_ids")):
                found[client_id] = (str(row.get("label") or ""), own)
        return found

    def _abonnementen(self) -> list[tuple[str, dict[str, Any]]]:
        groups = self._groups()
        events = self._event_filters()
        made = []
        for row in self._source.rows(ABONNEMENT):
            uuid = str(row["uuid"])
            owner = row.get("client_id") or self._owner
            if why := _why_not(row, owner):
                self._not_taken(("abonnement", uuid), why)
                continue
            keys = {str(row.get("id")), uuid}
            of_events = [each for key in sorted(keys) for each in events.get(key, ())]
            if of_events and not row.get("send_cloudevents"):
                self._not_taken(("abonnement", uuid, "cloudeventFilters"), ONLY_WITH_EVENTS)
            for kind, reason in _CERTIFICATES.items():
                if row.get(f"{kind}_id") is not None:
                    self._not_taken(("abonnement", uuid, kind), reason)
            kanalen = [group for key in sorted(keys) for group in groups.get(key, ())]
            item = _without_empty(uuid=uuid, clientId=owner, callbackUrl=row.get("callback_url"))
            item |= {**_asked_by(row), "kanalen": kanalen}
            if row.get("send_cloudevents"):
                item["options"] = events_option(of_events)
            made.append((uuid, item))
        return made

    def _event_filters(self) -> dict[str, list[dict[str, Any]]]:
        """By abonnement: which CloudEvents it asks for."""
        filters: dict[str, dict[str, Any]] = {}
        for row in self._source.rows(CLOUDEVENT_FILTER):
            filters.setdefault(str(row["cloud_event_filter_group_id"]), {})[row["key"]] = row["value"]
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self._source.rows(CLOUDEVENT_GROUP):
            group = {
                "typeSubstring": row.get("type_substring") or "",
                "filters": filters.get(str(row.get("id")), {}),
            }
            found.setdefault(str(row["abonnement_id"]), []).append(group)
        return found

    def _groups(self) -> dict[str, list[dict[str, Any]]]:
        """By abonnement: what it asks for. Each group stands for itself, and any of them is enough."""
        names = _by_key(self._source.rows(KANAAL), "naam")
        filters: dict[str, dict[str, Any]] = {}
        for row in self._source.rows(FILTER):
            filters.setdefault(str(row["filter_group_id"]), {})[row["key"]] = row["value"]
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self._source.rows(GROUP):
            kanaal = str(row["kanaal_id"])
            group = {"naam": names.get(kanaal, kanaal), "filters": filters.get(str(row["id"]), {})}
            found.setdefault(str(row["abonnement_id"]), []).append(group)
        return found


def abonnement_of(source: Source) -> Mapping[str, UUID]:
    """The UUIDs of its abonnementen, by whatever a row refers to them with."""
    return {key: UUID(str(uuid)) for key, uuid in _by_key(source.rows(ABONNEMENT), "uuid").items()}


def _by_key(rows: Sequence[Row], column: str) -> dict[str, Any]:
    found = {}
    for row in rows:
        for key in ("id", "uuid", "naam"):
            if row.get(key) is not None:
                found[str(row[key])] = row[column]
    return found


def _asked_by(row: Row) -> dict[str, Any]:
    """What its callback asks for: `auth`, or something else in place of it."""
    asks = ASKS.get(row.get("auth_type") or API_KEY)
    if asks is None:
        # Nothing in place of it, also where there was before.
        return {"auth": row["auth"], "callbackAuth": {}} if row.get("auth") else {}
    kind, names = asks
    if not names:
        return {"callbackAuth": {kind: "true"}}
    # From 1.16 on its client there is client_id too, before that auth_client_id.
    fields = {**row, "auth_client_id": row.get("auth_client_id") or row.get("client_id")}
    return {"callbackAuth": {kind: renamed(fields, names)}}


def _why_not(row: Row, owner: str | None) -> str:
    """Why an abonnement is not taken, else ""."""
    if why := unknown_auth_type(row.get("auth_type") or API_KEY):
        return why
    if not owner:
        return "it has no client_id, whose it would be: name an application with --owner"
    return ""


def _list(value: Any) -> list[str]:
    """An array: a list in a database, JSON in a text in a dump."""
    found = json.loads(value) if isinstance(value, str) and value else value
    return [str(each) for each in found or ()]


def _without_empty(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [])}
