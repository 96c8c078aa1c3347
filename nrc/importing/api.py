"""Reads an Open Notificaties through its API: kanalen, and abonnementen without their secrets and owners."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp

from nrc.exits import SourceUnreachable
from nrc.importing.source import (
    ABONNEMENT,
    CLOUDEVENT_FILTER,
    CLOUDEVENT_GROUP,
    FILTER,
    GROUP,
    KANAAL,
    READ,
    Row,
    Source,
)
from schemas.errors import UsageError

TIMEOUT = 60.0  # seconds for each request
PATH = "/api/v1"
WHY_NOT = "the API of Open Notificaties does not tell what it still has to deliver"


async def read_api(url: str, token: str) -> Source:
    """What the API at this root tells to who has all rights. token: a JWT.

    Raises SourceUnreachable, and UsageError for any answer but a list of what there is.
    """
    root = f"{url.rstrip('/').removesuffix(PATH)}{PATH}"
    headers = {"Authorization": f"Bearer {token.removeprefix('Bearer ')}", "Accept": "application/json"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(TIMEOUT)) as session:
        kanalen = await _list(session, f"{root}/kanaal")
        abonnementen = await _list(session, f"{root}/abonnement")
    tables: dict[str, list[Row]] = {table: [] for table in READ}
    try:
        for kanaal in kanalen:
            tables[KANAAL].append(_kanaal(kanaal))
        for abonnement in abonnementen:
            for table, row in _rows_of(abonnement):
                tables[table].append({"id": len(tables[table]), **row})
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{root} does not answer as an NRC does: {error!r}") from None
    return Source(name=root, version="", tables=tables, counted={}, pending=None, why_not=WHY_NOT)


async def _list(session: aiohttp.ClientSession, url: str) -> list[Any]:
    try:
        async with session.get(url, allow_redirects=False) as answer:
            status, body = answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        why = str(error) or type(error).__name__
        raise SourceUnreachable(f"no Open Notificaties at {url}: {why}. Its address: --api") from None
    if status in (401, 403):
        raise UsageError(
            f"{url} answers {status}: is --token one of an application with all rights there, and of today?"
        )
    if status != 200:
        raise UsageError(f"{url} answers {status}: --api is the root of its API, without /api/v1 or with it")
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise UsageError(f"{url} answers no list: --api is the root of its API, without /api/v1 or with it")
    return found


def _kanaal(found: Mapping[str, Any]) -> Row:
    return {
        "id": found["naam"],
        "naam": found["naam"],
        "documentatie_link": found.get("documentatieLink"),
        "filters": found.get("filters") or [],
    }


def _rows_of(found: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(table, row) of an abonnement and its filters."""
    uuid = found["url"].rstrip("/").rpartition("/")[2]
    yield (
        ABONNEMENT,
        {
            "id": uuid,
            "uuid": uuid,
            "callback_url": found["callbackUrl"],
            "send_cloudevents": found.get("sendCloudevents", False),
        },
    )
    for index, kanaal in enumerate(found.get("kanalen") or []):
        group = f"{uuid} {index}"
        yield GROUP, {"id": group, "abonnement_id": uuid, "kanaal_id": kanaal["naam"]}
        for key, value in (kanaal.get("filters") or {}).items():
            yield FILTER, {"filter_group_id": group, "key": key, "value": value}
    for index, each in enumerate(found.get("cloudeventFilters") or []):
        group = f"{uuid} {index}"
        of = {"abonnement_id": uuid, "type_substring": each.get("typeSubstring", "")}
        yield CLOUDEVENT_GROUP, {"id": group, **of}
        for key, value in (each.get("filters") or {}).items():
            yield CLOUDEVENT_FILTER, {"cloud_event_filter_group_id": group, "key": key, "value": value}
