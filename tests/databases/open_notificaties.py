"""A database as Open Notificaties 1.15 and 1.16 make it: the tables that an import reads, and rows in them.

As `\\d` of a migrated database shows them, without what nothing here reads (foreign keys, other indexes).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

_TABLES = """
CREATE TABLE django_migrations (id bigserial PRIMARY KEY, app varchar, name varchar, applied timestamptz);
CREATE TABLE datamodel_kanaal (id serial PRIMARY KEY, uuid uuid, naam varchar(50),
    documentatie_link varchar(200), filters varchar(100)[]);
CREATE TABLE datamodel_abonnement (id serial PRIMARY KEY, uuid uuid, callback_url varchar(200),
    auth varchar(1000), client_id varchar(100), send_cloudevents boolean, auth_type varchar(30),
    oauth2_scope varchar(255), oauth2_token_url varchar(1000), secret varchar(255),
    client_certificate_id integer, server_certificate_id integer);
CREATE TABLE datamodel_filtergroup (id serial PRIMARY KEY, abonnement_id integer, kanaal_id integer);
CREATE TABLE datamodel_filter (id serial PRIMARY KEY, key varchar(100), value varchar(1000),
    filter_group_id integer, UNIQUE (filter_group_id, key));
CREATE TABLE datamodel_cloudeventfiltergroup (id serial PRIMARY KEY, type_substring varchar(255),
    abonnement_id integer);
CREATE TABLE datamodel_cloudeventfilter (id serial PRIMARY KEY, key varchar(100), value varchar(1000),
    cloud_event_filter_group_id integer);
CREATE TABLE datamodel_notificatie (id serial PRIMARY KEY, forwarded_msg jsonb, kanaal_id integer);
CREATE TABLE vng_api_common_jwtsecret (id serial PRIMARY KEY, identifier varchar(50), secret varchar(255));
CREATE TABLE authorizations_applicatie (id serial PRIMARY KEY, uuid uuid, client_ids varchar(50)[],
    label varchar(100), heeft_alle_autorisaties boolean);
CREATE TABLE authorizations_autorisatie (id serial PRIMARY KEY, component varchar(50),
    scopes varchar(100)[], applicatie_id integer);
"""
_1_16 = """
CREATE TABLE datamodel_schedulednotification (id bigserial PRIMARY KEY, type varchar(255), task_args jsonb,
    execute_after timestamptz, attempt smallint, task_attempt smallint, in_progress boolean,
    cloudevent_id integer, notificatie_id integer, sub_id integer);
CREATE TABLE datamodel_cloudevent (int_id bigserial PRIMARY KEY, id varchar(255), source varchar(255),
    specversion varchar(50), type varchar(255), data text, UNIQUE (id, source));
INSERT INTO django_migrations (app, name) VALUES ('datamodel', '0025_schedulednotification');
"""
_1_15 = """
ALTER TABLE datamodel_abonnement ADD COLUMN auth_client_id varchar(100);
INSERT INTO django_migrations (app, name) VALUES ('datamodel', '0022_cloudeventfilter');
"""
_MODELS = {
    "datamodel_kanaal": "datamodel.kanaal",
    "datamodel_abonnement": "datamodel.abonnement",
    "datamodel_filtergroup": "datamodel.filtergroup",
    "datamodel_filter": "datamodel.filter",
    "datamodel_cloudeventfiltergroup": "datamodel.cloudeventfiltergroup",
    "datamodel_cloudeventfilter": "datamodel.cloudeventfilter",
    "datamodel_schedulednotification": "datamodel.schedulednotification",
    "vng_api_common_jwtsecret": "vng_api_common.jwtsecret",
    "authorizations_applicatie": "authorizations.applicatie",
    "authorizations_autorisatie": "authorizations.autorisatie",
}


def message(number: int, **more: Any) -> dict[str, Any]:
    """A notificatie as Open Notificaties keeps it."""
    url = f"https://zaken.example.nl/zaken/{number}"
    return {
        "kanaal": "zaken",
        "hoofdObject": url,
        "resource": "zaak",
        "resourceUrl": url,
        "actie": "create",
        "aanmaakdatum": "2026-01-31T12:00:00Z",
        "kenmerken": {"bronorganisatie": "517439943", "zaaktype": "a"},
        **more,
    }


def event(number: int, **more: Any) -> dict[str, Any]:
    """A CloudEvent that a source published, as Open Notificaties keeps it: without what it does not know."""
    return {
        "id": f"event-{number}",
        "source": "urn:nld:oin:00000001823288444000:systeem:zaken",
        "specversion": "1.0",
        "type": "nl.overheid.zaken.zaak-geopend",
        "datacontenttype": "application/json",
        "subject": str(number),
        "time": "2026-01-31T12:00:00Z",
        "data": {"zaaktype": "a", "number": number},
        **more,
    }


@dataclass
class OpenNotificaties:
    """A database in a schema of its own. url: for `nrc import`. rows: what was put in, for a dump."""

    connection: psycopg.AsyncConnection[Any]
    url: str
    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def add(self, table: str, **columns: Any) -> int:
        """Insert a row; returns its id."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
        )
        values = [Jsonb(value) if isinstance(value, dict) else value for value in columns.values()]
        cursor = await self.connection.execute(statement, values)
        found = await cursor.fetchone()
        assert found is not None
        self.rows.append((table, {"id": found[0], **columns}))
        return int(found[0])

    async def add_kanaal(self, naam: str, *filters: str) -> int:
        return await self.add("datamodel_kanaal", uuid=uuid4(), naam=naam, filters=list(filters))

    async def add_abonnement(
        self, callback_url: str, *groups: tuple[int, Mapping[str, str]], **columns: Any
    ) -> tuple[int, UUID]:
        """(its id, its UUID). groups: (kanaal, filters)."""
        given = {
            "uuid": uuid4(), "callback_url": callback_url, "auth": "Token there", "client_id": "zac",
            "send_cloudevents": False, "auth_type": "api_key", **columns,
        }  # fmt: skip
        number = await self.add("datamodel_abonnement", **given)
        for kanaal, filters in groups:
            group = await self.add("datamodel_filtergroup", abonnement_id=number, kanaal_id=kanaal)
            for key, value in filters.items():
                await self.add("datamodel_filter", key=key, value=value, filter_group_id=group)
        return number, given["uuid"]

    async def add_application(self, client_id: str, secret: str, *scopes: str, **columns: Any) -> None:
        """A secret, and an applicatie with these scopes."""
        await self.add("vng_api_common_jwtsecret", identifier=client_id, secret=secret)
        given = {"label": "", "heeft_alle_autorisaties": False, **columns}
        number = await self.add("authorizations_applicatie", uuid=uuid4(), client_ids=[client_id], **given)
        if scopes:
            of = {"component": "nrc", "scopes": list(scopes), "applicatie_id": number}
            await self.add("authorizations_autorisatie", **of)

    async def wait_for(self, args: Any, *subs: int, kept: bool = True, **columns: Any) -> int | None:
        """A notificatie that is still to be delivered to these; returns its id.

        kept: as with LOG_NOTIFICATIONS_IN_DB.
        """
        notificatie = await self.add("datamodel_notificatie", forwarded_msg=args) if kept else None
        for sub in subs:
            given = {
                "type": "notification", "task_args": args, "execute_after": "2026-01-31T12:00:00Z",
                "attempt": 1, "task_attempt": 0, "in_progress": False, "notificatie_id": notificatie,
                "sub_id": sub, **columns,
            }  # fmt: skip
            await self.add("datamodel_schedulednotification", **given)
        return notificatie

    async def wait_for_event(self, args: dict[str, Any], *subs: int, **columns: Any) -> None:
        """A CloudEvent that a source published, still to be delivered to these."""
        cursor = await self.connection.execute(
            "INSERT INTO datamodel_cloudevent (id, source, specversion, type) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (id, source) DO UPDATE SET type = excluded.type RETURNING int_id",
            [args["id"], args["source"], args["specversion"], args["type"]],
        )
        found = await cursor.fetchone()
        assert found is not None
        given = {"type": "cloudevent", "cloudevent_id": found[0], **columns}
        await self.wait_for(args, *subs, kept=False, **given)

    def dump(self, file: Path) -> None:
        """What `dumpdata --natural-foreign` writes of these rows, of the models that an import asks for."""
        uuids = {
            row["id"]: str(row["uuid"]) for table, row in self.rows if table == "authorizations_applicatie"
        }
        objects = []
        for table, row in self.rows:
            if table not in _MODELS:
                continue
            fields: dict[str, Any] = {}
            for name, value in row.items():
                if name == "applicatie_id":
                    fields["applicatie"] = [uuids[value]]
                elif name != "id":
                    text = json.dumps(value) if isinstance(value, list) else value
                    fields[name.removesuffix("_id") if name != "client_id" else name] = text
            objects.append({"model": _MODELS[table], "pk": row["id"], "fields": fields})
        file.write_text(json.dumps(objects, default=str))


@asynccontextmanager
async def open_notificaties(database: str, version: str = "1.16") -> AsyncIterator[OpenNotificaties]:
    """A database of this version without rows. database: the URL of a schema that is removed afterwards."""
    url, _, schema = database.partition("schema=")
    async with await psycopg.AsyncConnection.connect(url.rstrip("?&"), autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        await connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        await connection.execute(_TABLES + (_1_16 if version == "1.16" else _1_15))
        yield OpenNotificaties(connection, database)
