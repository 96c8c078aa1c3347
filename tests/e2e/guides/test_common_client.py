"""notifications-api-common, the library of Open Zaak and others, unmodified against all that `nrc up` starts.

It is no dependency of the tests: NRC_TEST_NOTIFICATIONS_API_COMMON is a Python where it is installed, with
psycopg. Seen so once: docs/decisions/0061-the-move-from-open-notificaties.md.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psycopg
import pytest
from psycopg import sql

from tests.callback_server import Received, Wire, status
from tests.e2e.guides.place import Place
from tests.eventually import eventually

PYTHON = os.environ.get("NRC_TEST_NOTIFICATIONS_API_COMMON", "")
MESSAGE = {
    "kanaal": "personen",
    "hoofdObject": "https://component.example.nl/personen/1",
    "resource": "persoon",
    "resourceUrl": "https://component.example.nl/personen/1",
    "actie": "create",
    "aanmaakdatum": "2026-01-31T12:00:00Z",
    "kenmerken": {"username": "jan"},
}
EVENT = {
    "event_type": "nl.overheid.personen.persoon-gewijzigd",
    "subject": "1",
    "dataref": "/personen/1",
    "data": {"username": "jan"},
}


@pytest.mark.skipif(not PYTHON, reason="NRC_TEST_NOTIFICATIONS_API_COMMON names no Python that has it")
async def test_a_component_with_it_subscribes_and_publishes(place: Place, database_url: str) -> None:
    root = f"http://{place.address}/api/v1"
    secret = await place.command(
        "application", "add", "component", "--scope", "publiceren", "--scope", "consumeren", "--json"
    )
    callback = place.callback

    async def asks_for_a_token(wire: Wire, received: Received) -> bool:
        known = (received.header("Authorization") or "").startswith("Bearer ey")
        return await status(204 if known else 401)(wire, received)

    callback.script("/own", asks_for_a_token)
    callback.script("/events", asks_for_a_token)
    name, _, token = (await place.command("token", "component")).strip().partition(": ")
    async with (
        aiohttp.ClientSession(headers={name: token}) as session,
        session.post(
            f"{root}/abonnement",
            json={
                "callbackUrl": callback.url("/events"), "auth": "Bearer eyJh",
                "kanalen": [], "sendCloudevents": True,
                "cloudeventFilters": [{"typeSubstring": "nl.overheid.personen", "filters": {}}],
            },
        ) as answer,
    ):  # fmt: skip
        assert answer.status == 201, await answer.text()
    asked = len(callback.received)

    came = await _client(
        database_url,
        root=root,
        client_id="component",
        secret=json.loads(secret)["secret"],
        callback=callback.url("/own"),
        message=MESSAGE,
        event=EVENT,
    )
    assert came["said"].splitlines() == [
        f"Registered kanaal 'personen' with {root}/",
        f"Updated already existing kanaal 'personen' with {root}/",
    ]
    assert came["abonnement"].startswith(f"{root}/abonnement/")

    def delivered(path: str) -> list[Any]:
        found = [each for each in callback.received[asked:] if each.path == path]
        return [json.loads(each.body) for each in found if each.header("webhook-id")]

    await eventually(lambda: MESSAGE in delivered("/own") and delivered("/events"), within=60)
    (event,) = delivered("/events")
    assert event["type"] == EVENT["event_type"]
    assert (event["subject"], event["dataref"], event["data"]) == ("1", "/personen/1", EVENT["data"])


async def _client(database_url: str, **given: Any) -> Any:
    """What tests/e2e/guides/common_client.py says."""
    url, _, schema = database_url.partition("schema=")
    async with await psycopg.AsyncConnection.connect(url.rstrip("?&"), autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    at = urlsplit(url)
    given["schema"] = schema
    given["database"] = {
        "HOST": at.hostname, "PORT": at.port or 5432, "USER": at.username or "postgres",
        "PASSWORD": at.password or "", "NAME": at.path.strip("/"),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        PYTHON, str(Path(__file__).parent / "common_client.py"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(json.dumps(given).encode()), 300)
    assert process.returncode == 0, err.decode()
    return json.loads(out)
