"""Where a PostgreSQL database is: the URL, its schema, the password, and what a connection is opened with.

No session state is asked for, so that PgBouncer may lend out connections by transaction: what a transaction
needs it sets itself (database.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from psycopg import AsyncConnection, ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from runtime.log import process_name
from runtime.settings import DEFAULT_SCHEMA, Settings
from schemas.errors import SettingsError

Connection = AsyncConnection[DictRow]

# Of libpq, unless the URL says otherwise. A host that went away without a word is noticed within some 20 s.
_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    # Of several hosts the one that takes writes: the primary.
    "target_session_attrs": "read-write",
    "client_encoding": "UTF8",
}


@dataclass(frozen=True, slots=True)
class Address:
    """A database and the schema in it that has our tables.

    listen_url: another way to the same database, on which LISTEN works; "" for the same. password_file: read
    at each connection, so that it may change. The URLs may hold a password: log `shown`.
    """

    url: str = field(repr=False)
    schema: str = DEFAULT_SCHEMA
    listen_url: str = field(default="", repr=False)
    password_file: Path | None = None

    @property
    def shown(self) -> str:
        """The URL without user, password and parameters, and the schema."""
        base = self.url.partition("?")[0]
        scheme, _, rest = base.partition("://")
        place = f"{scheme}://{rest.rpartition('@')[2]}"
        return place if self.schema == DEFAULT_SCHEMA else f"{place} (schema {self.schema})"


def address_at(url: str) -> Address:
    """The address of a URL of PostgreSQL's, in which `schema=` may name the schema."""
    base, _, query = url.partition("?")
    parameters = parse_qsl(query, keep_blank_values=True)
    schema = dict(parameters).get("schema") or DEFAULT_SCHEMA
    kept = urlencode([each for each in parameters if each[0] != "schema"])
    return Address(f"{base}?{kept}" if kept else base, schema)


def address_of(settings: Settings) -> Address:
    """The address that these settings name."""
    at = address_at(settings.database_url)
    listen = address_at(settings.database_listen_url).url if settings.database_listen_url else ""
    return Address(at.url, at.schema, listen, settings.database_password_file)


def options(address: Address, *, listening: bool = False) -> dict[str, Any]:
    """What a connection is opened with. Raises SettingsError, without a word of the URL, and OSError."""
    url = address.listen_url if listening and address.listen_url else address.url
    try:
        given = conninfo_to_dict(url)
        if not str(given.get("port", "0")).replace(",", "").isdecimal():
            raise ProgrammingError("a port is no number")
    except ProgrammingError:
        # libpq's own words may quote a part of the password, and so may an error about a port.
        name = "NRC_DATABASE_LISTEN_URL" if url == address.listen_url else "NRC_DATABASE_URL"
        raise SettingsError(
            [
                f"{name}: cannot be read; it must be postgresql://user:password@host:port/database, with "
                "/ # ? @ : of a password written as %2F %23 %3F %40 %3A"
            ]
        ) from None
    if address.password_file is not None:
        given["password"] = address.password_file.read_text().strip()
    return {"application_name": f"nrc {process_name()}".strip()} | _DEFAULTS | given


async def connect(address: Address, *, listening: bool = False) -> Connection:
    """A connection that begins no transaction by itself. Raises psycopg.Error, SettingsError and OSError.

    Nothing is prepared on it: the next transaction may be on another connection of PgBouncer's.
    """
    return await AsyncConnection.connect(
        **options(address, listening=listening),
        autocommit=True,
        prepare_threshold=None,
        row_factory=dict_row,
    )
