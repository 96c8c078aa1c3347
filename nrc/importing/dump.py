"""Reads what `dumpdata` of Django wrote of an Open Notificaties: JSON, one list or an object on each line."""

from __future__ import annotations

import fcntl
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nrc.importing.source import ABONNEMENT, COUNTED, KANAAL, PENDING, READ, Pending, Row, Source, pending_of
from schemas.errors import UsageError

MODELS = (
    "datamodel.kanaal datamodel.abonnement datamodel.filtergroup datamodel.filter "
    "datamodel.cloudeventfiltergroup datamodel.cloudeventfilter datamodel.schedulednotification "
    "vng_api_common.jwtsecret authorizations.applicatie authorizations.autorisatie"
)
"""What `dumpdata` must be asked for."""
_REFERENCES = frozenset(
    {"abonnement", "kanaal", "filter_group", "cloud_event_filter_group", "applicatie", "sub"}
    | {"notificatie", "cloudevent"}
    | {"client_certificate", "server_certificate"}
)


@contextmanager
def opened_dump(file: Path) -> Iterator[Source]:
    """What is in this file, which no other import uses meanwhile. Raises UsageError."""
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(file.open("rb"))
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            source = _read(file)
        except BlockingIOError:
            raise UsageError(f"another import uses {file}") from None
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror or error}") from None
        yield source


def _read(file: Path) -> Source:
    tables: dict[str, list[Row]] = {}
    for each in _objects(file):
        model, fields = each.get("model"), each.get("fields")
        if not isinstance(model, str) or not isinstance(fields, dict):
            raise UsageError(f"{file}: no dump of Django: an object in it has no model or no fields")
        tables.setdefault(model.replace(".", "_"), []).append(_row(each.get("pk"), fields))
    for table in (KANAAL, ABONNEMENT):
        if table not in tables:
            raise UsageError(
                f"{file} has no {table.replace('_', '.')}: make it with `python src/manage.py dumpdata "
                f"{MODELS}`"
            )
    rows = sorted(tables.get(PENDING, []), key=_as_accepted)

    async def pending() -> AsyncIterator[Pending]:
        for row in rows:
            yield pending_of(row)

    return Source(
        name=str(file),
        version="",
        tables={table: tables.get(table, []) for table in READ},
        counted={table: len(tables[table]) for table in COUNTED if table in tables},
        pending=pending if rows else None,
        why_not=""
        if rows
        else "the dump has no datamodel.schedulednotification: nothing waited, or it was not asked for",
    )


def _as_accepted(row: Row) -> tuple[int | bool, ...]:
    """Sorts all of one notificatie or event together, in the order in which they were accepted."""
    notificatie, event = row.get("notificatie_id"), row.get("cloudevent_id")
    return notificatie is None, notificatie or 0, event is None, event or 0, row["id"]


def _objects(file: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error.reason}, at byte {error.start}") from None
    try:
        if text.lstrip().startswith("["):
            found = json.loads(text)
        else:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{file}: this is no JSON: {error}") from None
    if not all(isinstance(each, dict) for each in found):
        raise UsageError(f"{file}: no dump of Django: a list of objects stands in one")
    return list(found)


def _row(pk: Any, fields: dict[str, Any]) -> Row:
    """With the names of columns. A natural key stands for what it refers to, which then has no pk."""
    row: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _REFERENCES:
            row[f"{name}_id"] = value[0] if isinstance(value, list) and len(value) == 1 else value
        else:
            row[name] = value
    row["id"] = fields.get("uuid") if pk is None else pk
    return row
