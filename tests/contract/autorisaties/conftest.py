"""Two gateways with one Autorisaties API, which all tests here share; each uses applications of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from schemas.application import Application
from tests.autorisaties.server import Applicatie, AutorisatiesApi
from tests.contract.api import Answer, Api, a_naam, message
from tests.contract.conftest import Stage
from tests.eventually import eventually

LONG = 60.0  # seconds; on a busy machine
PUBLICEREN, CONSUMEREN = "notificaties.publiceren", "notificaties.consumeren"


@dataclass
class Rights:
    """The AC, two gateways, and a kanaal."""

    stage: Stage
    ac: AutorisatiesApi
    one: Api
    other: Api
    naam: str

    async def client(self, *, label: str = "") -> str:
        """The client id of a new application whose scopes are in the AC."""
        client_id = f"{label}{uuid4().hex}"
        await self.stage.registry.add_application(
            Application(client_id, client_id[::-1], scopes_from_ac=True)
        )
        return client_id

    async def publish(self, client_id: str, *, at: Api | None = None, **options: Any) -> Answer:
        """The answer to a notificatie of this client."""
        return await (at or self.one).of(client_id).post("/notificaties", message(self.naam), **options)

    async def becomes(self, client_id: str, status: int, *, at: Api) -> Answer:
        """The answer, once it has this status."""

        async def answered() -> Answer | None:
            answer = await self.publish(client_id, at=at)
            return answer if answer.status == status else None

        return await eventually(answered, within=LONG)  # type: ignore[return-value]

    async def tell(self, applicatie: Applicatie, actie: str, *, path: str = "/notificaties") -> Answer:
        """The AC's notificatie about an applicatie, under a host of its own."""
        url = applicatie.url("https://ac.intern.example/autorisaties/api/v1")
        told = message("autorisaties", hoofdObject=url, resource="applicatie", resourceUrl=url, actie=actie)
        return await self.one.of("bron").post(path, told)


@pytest.fixture(scope="module")
async def rights(stage: Stage) -> AsyncIterator[Rights]:
    naam = a_naam()
    # Only a notificatie makes them ask again, however slow this machine is; and a failure is soon over.
    patch = pytest.MonkeyPatch()
    patch.setattr("gateway.autorisaties.rights.FRESH", 3600.0)
    patch.setattr("gateway.autorisaties.rights.PAUSE", 0.2)
    async with (
        AutorisatiesApi() as ac,
        stage.gateway(**ac.settings()) as one,
        stage.gateway(**ac.settings()) as other,
    ):
        for kanaal in (naam, "autorisaties"):
            answer = await one.of("bron").post("/kanaal", {"naam": kanaal, "filters": []})
            assert answer.status == 201 or answer.params == {("naam", "unique")}
        yield Rights(stage, ac, one, other, naam)
    patch.undo()


@pytest.fixture(autouse=True)
async def sound(rights: Rights) -> AsyncIterator[None]:
    """The AC answers as it should before and after each test."""
    yield
    rights.ac.answer_with = None
    rights.ac.flowing.set()
