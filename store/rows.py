"""The registry's values as table rows and back, for every store. Knows the columns, and no SQL.

Secrets are encrypted in rows, and plain in the values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import orjson

from runtime.garbage_collection import collections_paused
from schemas.abonnement import Abonnement, FilterGroup, Hold, State
from schemas.application import Application, Scope
from schemas.callback_auth import CallbackAuth
from schemas.jsontext import LARGE
from schemas.kanaal import Kanaal
from store.registry import Act, Changes, Declared, DeclaredKind, KanalenVersion
from store.secrets import Vault, place

Row = dict[str, Any]

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
    kanalen = [{"naam": group.naam, "filters": group.filters} for group in abonnement.kanalen]
    return {
        "uuid": uuid,
        "callback_url": abonnement.callback_url,
        "auth": vault.seal(abonnement.auth, place("abonnement", "auth", uuid)),
        "callback_auth": vault.seal(
            abonnement.callback_auth.text() if abonnement.callback_auth else "",
            place("abonnement", "callback_auth", uuid),
        ),
        "kanalen": orjson.dumps(kanalen).decode(),
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
        kanalen=_groups_of(row["kanalen"]),
        client_id=row["client_id"],
        state=State(row["state"]),
        state_reason=row["state_reason"],
        hold=Hold(*json.loads(row["hold"])) if row["hold"] else None,
        change=row["change"],
        kanalen_change=row["kanalen_change"],
    )


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
    number: int, *, whole: bool, vault: Vault, changed: Mapping[str, Iterable[Row]], removed: Iterable[Row]
) -> Changes:
    """What changed, of the rows of each table and of the tombstones."""
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
    )


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
