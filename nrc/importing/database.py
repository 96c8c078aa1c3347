"""Reads the PostgreSQL database of an Open Notificaties: in one snapshot, and without a write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from nrc.exits import SourceUnreachable
from nrc.importing.source import COUNTED, NEEDED, PENDING, READ, Pending, Row, Source, pending_of
from schemas.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    Connection = AsyncConnection[dict[str, Any]]

AT_ONCE = 500  # rows that are fetched together
NO_TABLE = (
    "this version keeps what is to be delivered in its Celery broker (before 1.16): let its workers finish "
    "before you stop them"
)
# Two imports at once would both find that something is not taken yet.
_LOCK = "SELECT pg_try_advisory_lock(hashtext('nrc import'), hashtext(%s)) AS mine"
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
_VERSION = "SELECT name FROM django_migrations WHERE app = 'datamodel' ORDER BY name DESC LIMIT 1"
# Who may only read sees no backend_type of other users.
_OTHERS = (
    "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND usesysid IS NOT NULL "
    "AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'"
)
# All of one notificatie or event together, in the order in which they were accepted.
_PENDING = (
    "SELECT * FROM datamodel_schedulednotification "
    "ORDER BY notificatie_id NULLS LAST, cloudevent_id NULLS LAST, id"
)


@asynccontextmanager
async def opened_database(url: str) -> AsyncIterator[Source]:
    """What is in this database. url: as of libpq; `schema=` names the schema of its tables, else public.

    Raises SourceUnreachable, and UsageError when it is not the database of an Open Notificaties.
    """
    try:
        import psycopg
        from psycopg.rows import dict_row

        from store.database.address import address_at, options
    except ImportError as error:
        raise UsageError(
            f"--database reads PostgreSQL, and that needs more: pip install 'nrc[postgresql]' ({error})"
        ) from None
    at = address_at(url)
    schema = at.schema if "schema=" in url.partition("?")[2] else "public"
    try:
        given = {**options(at), "application_name": "nrc import", "target_session_attrs": "any"}
        connection = await psycopg.AsyncConnection.connect(
            **given, autocommit=True, prepare_threshold=None, row_factory=dict_row
        )
    except (SettingsError, psycopg.ProgrammingError):  # whose words may quote a part of the password
        raise UsageError("--database must be postgresql://user:password@host:port/database") from None
    except psycopg.Error as error:
        raise SourceUnreachable(f"the database of Open Notificaties: {_line(error)}") from None
    try:
        if not (await _rows(connection, _LOCK, schema))[0]["mine"]:
            raise UsageError(f"another import uses {at.shown}")
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await connection.execute("SELECT set_config('search_path', %s, true)", [f'"{schema}"'])
        yield await _found(connection, f"{at.shown.partition(' (schema')[0]}", schema)
    except psycopg.Error as error:
        raise SourceUnreachable(f"the database of Open Notificaties: {_line(error)}") from None
    finally:
        await connection.close()


async def _found(connection: Connection, name: str, schema: str) -> Source:
    there = {row["table_name"] for row in await _rows(connection, _TABLES, schema)}
    if lacking := [table for table in NEEDED if table not in there]:
        raise UsageError(f"{name} has no table {lacking[0]} in schema {schema}: is it an Open Notificaties?")
    tables = {
        # In their order, so that two runs tell the same.
        table: await _rows(connection, f"SELECT * FROM {table} ORDER BY id")  # noqa: S608 - a constant
        for table in READ
        if table in there
    }
    counted = {
        table: int((await _rows(connection, f"SELECT count(*) AS n FROM {table}"))[0]["n"])  # noqa: S608
        for table in COUNTED
        if table in there
    }
    version = await _rows(connection, _VERSION) if "django_migrations" in there else []

    async def pending() -> AsyncIterator[Pending]:
        async with connection.cursor(name="pending") as cursor:
            cursor.itersize = AT_ONCE
            await cursor.execute(_PENDING)
            async for row in cursor:
                yield pending_of(row)

    has = PENDING in there
    return Source(
        name=name,
        version=str(version[0]["name"]) if version else "",
        tables=tables,
        counted=counted,
        pending=pending if has else None,
        why_not="" if has else NO_TABLE,
        others=int((await _rows(connection, _OTHERS))[0]["n"]),
    )


async def _rows(connection: Connection, query: Any, *values: object) -> list[Row]:
    cursor = await connection.execute(query, values or None)
    return list(await cursor.fetchall())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
