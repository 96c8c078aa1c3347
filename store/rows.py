"""The registry's values as table rows and back, for every store. Knows the columns, and no SQL.

Secrets are encrypted in rows, and plain in the values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from runtime.log import logger
from runtime.memory.garbage_collection import collections_paused
from schemas.abonnement import Abonnement, FilterGroup, Hold, State, event_groups
from schemas.application import Application, Scope
from schemas.callback_auth import CallbackAuth
from schemas.delivery_options import DeliveryOptions
from schemas.events.mapping import EventMapping
from schemas.jsontext import LARGE
from schemas.kanaal import Kanaal
from store.registry import Act, Changes, Declared, DeclaredKind, KanalenVersion
from store.secrets import Vault, place

Row = dict[str, Any]

log = logger(__name__)

# (table, its primary key, column)
ENCRYPTED = (
    ("abonnement", "uuid", "auth"),
    ("abonnement", "uuid", "callback_auth"),
    ("application", "client_id", "secret"),
    ("application", "client_id", "old_secret"),
    ("alert_setting", "name", "secret"),
)
"""The columns with secrets."""


def kanaal_row(kanaal: Kanaal) -> Row:
    """The row of a kanaal."""
    return {
        "uuid": str(kanaal.uuid),
        "naam": kanaal.naam,
        "documentatie_link": kanaal.documentatie_link,
        "filters": json.dumps(kanaal.filters),
        "slots": json.dumps(kanaal.slots),
        "change": kanaal.change,
        "client_id": kanaal.client_id,
    }


def kanaal_of(row: Row) -> Kanaal:
    """The kanaal of a row."""
    return Kanaal(
        uuid=UUID(row["uuid"]),
        naam=row["naam"],
        documentatie_link=row["documentatie_link"],
        filters=tuple(json.loads(row["filters"])),
        slots=tuple(json.loads(row["slots"])),
        change=row["change"],
        client_id=row["client_id"],
    )


def abonnement_row(abonnement: Abonnement, vault: Vault) -> Row:
    """The row of an abonnement; `kanalen` is `[{naam, filters: [[name, value], …]}, …]`, in order."""
    uuid = str(abonnement.uuid)
    return {
        "uuid": uuid,
        "callback_url": abonnement.callback_url,
        "auth": vault.seal(abonnement.auth, place("abonnement", "auth", uuid)),
        "callback_auth": vault.seal(
            abonnement.callback_auth.text() if abonnement.callback_auth else "",
            place("abonnement", "callback_auth", uuid),
        ),
        "options": abonnement.options.text() if abonnement.options else "",
        "kanalen": _groups_text(abonnement.kanalen),
        "client_id": abonnement.client_id,
        "state": abonnement.state.value,
        "state_reason": abonnement.state_reason,
        "hold": hold_text(abonnement.hold),
        "change": abonnement.change,
        "kanalen_change": abonnement.kanalen_change,
    }


def abonnement_of(row: Row, vault: Vault) -> Abonnement:
    """The abonnement of a row."""
    return Abonnement(
        uuid=UUID(row["uuid"]),
        callback_url=row["callback_url"],
        auth=vault.unseal(row["auth"], place("abonnement", "auth", row["uuid"])),
        callback_auth=CallbackAuth.of_text(
            vault.unseal(sealed, place("abonnement", "callback_auth", row["uuid"]))
        )
        if (sealed := row["callback_auth"])
        else None,
        options=DeliveryOptions.of_text(row["options"]),
        kanalen=_groups_of(row["kanalen"]),
        client_id=row["client_id"],
        state=State(row["state"]),
        state_reason=row["state_reason"],
        hold=Hold(*json.loads(row["hold"])) if row["hold"] else None,
        change=row["change"],
        kanalen_change=row["kanalen_change"],
    )


def _groups_text(groups: Iterable[FilterGroup]) -> str:
    return orjson.dumps([{"naam": group.naam, "filters": group.filters} for group in groups]).decode()


def kanalen_of_version(abonnement: Row) -> str:
    """The `kanalen` of a version that begins with this row: its kanalen, and its filters on CloudEvents."""
    groups = event_groups(DeliveryOptions.of_text(abonnement["options"]))
    return _groups_text((*_groups_of(abonnement["kanalen"]), *groups)) if groups else abonnement["kanalen"]


def kanalen_version_of(row: Row) -> KanalenVersion:
    """The version of a row."""
    return KanalenVersion(
        abonnement=UUID(row["abonnement"]),
        kanalen=_groups_of(row["kanalen"]),
        change=row["change"],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        made_at=row["made_at"],
        removed_at=row["removed_at"],
        clock=row["clock"],
    )


def act_of(row: Row) -> Act:
    """The act of a row."""
    return Act(
        at=row["at"],
        act=row["act"],
        command=row["command"],
        user=row["user"],
        sudo_user=row["sudo_user"],
        host=row["host"],
        facts=json.loads(row["facts"]),
        nr=row["nr"],
    )


def _groups_of(text: str) -> tuple[FilterGroup, ...]:
    # orjson in both directions: json takes 30 ms for 1 MiB, in which no other thread runs.
    with collections_paused() if len(text) > LARGE else nullcontext():
        return tuple(
            FilterGroup(naam=group["naam"], filters=tuple((name, value) for name, value in group["filters"]))
            for group in orjson.loads(text)
        )


def hold_text(hold: Hold | None) -> str:
    """The column `hold`: `[since, probes, next_probe]`, or empty. Equal holds have equal texts."""
    return json.dumps([hold.since, hold.probes, hold.next_probe]) if hold else ""


def application_row(application: Application, vault: Vault) -> Row:
    """The row of an application."""
    client_id = application.client_id
    return {
        "client_id": client_id,
        "secret": vault.seal(application.secret, place("application", "secret", client_id)),
        "label": application.label,
        "scopes": json.dumps(sorted(application.scopes)),
        "scopes_from_token": int(application.scopes_from_token),
        "old_secret": vault.seal(application.old_secret, place("application", "old_secret", client_id)),
        "old_secret_until": application.old_secret_until,
        "change": application.change,
        "scopes_from_ac": int(application.scopes_from_ac),
    }


def application_of(row: Row, vault: Vault) -> Application:
    """The application of a row."""
    client_id = row["client_id"]
    return Application(
        client_id=client_id,
        secret=vault.unseal(row["secret"], place("application", "secret", client_id)),
        label=row["label"],
        scopes=frozenset(map(Scope, json.loads(row["scopes"]))),
        scopes_from_token=bool(row["scopes_from_token"]),
        old_secret=vault.unseal(row["old_secret"], place("application", "old_secret", client_id)),
        old_secret_until=row["old_secret_until"],
        change=row["change"],
        scopes_from_ac=bool(row["scopes_from_ac"]),
    )


def changes_of(
    number: int,
    *,
    whole: bool,
    vault: Vault,
    changed: Mapping[str, Iterable[Row]],
    removed: Iterable[Row],
    mappings: Iterable[Row],
) -> Changes:
    """What changed, of the rows of each table and of the tombstones. mappings: all rows."""
    gone: dict[str, list[str]] = {"kanaal": [], "abonnement": [], "application": []}
    for row in removed:
        gone[row["kind"]].append(row["key"])
    return Changes(
        number=number,
        kanalen=tuple(map(kanaal_of, changed["kanaal"])),
        abonnementen=tuple(abonnement_of(row, vault) for row in changed["abonnement"]),
        applications=tuple(application_of(row, vault) for row in changed["application"]),
        gone_kanalen=frozenset(map(UUID, gone["kanaal"])),
        gone_abonnementen=frozenset(map(UUID, gone["abonnement"])),
        gone_applications=frozenset(gone["application"]),
        whole=whole,
        mappings=mappings_of(mappings),
    )


@lru_cache(maxsize=256)
def _mapping_of(name: str, text: str) -> EventMapping | None:
    """None of one that a newer program wrote and this one does not understand: as if it were not there."""
    try:
        return EventMapping.of_text(text)
    except ValidationError:
        log.warning("mapping of CloudEvents cannot be read", mapping=name)
        return None


def mappings_of(found: Iterable[Row]) -> dict[str, EventMapping]:
    """Mappings to CloudEvents of their rows, by name."""
    read = {row["name"]: _mapping_of(row["name"], row["rules"]) for row in found}
    return {name: mapping for name in sorted(read) if (mapping := read[name]) is not None}


def mapping_in_options(name: str) -> str:
    """What stands in the options of an abonnement that has this mapping."""
    return f'"mapping":"{name}"'


def declared_row(thing: Declared) -> Row:
    """The row of something declared."""
    return {
        "kind": thing.kind.value,
        "key": thing.key,
        "owner": thing.owner,
        "orphan_since": thing.orphan_since,
    }


def declared_of(row: Row) -> Declared:
    """The declared thing of a row."""
    return Declared(
        kind=DeclaredKind(row["kind"]), key=row["key"], owner=row["owner"], orphan_since=row["orphan_since"]
    )
