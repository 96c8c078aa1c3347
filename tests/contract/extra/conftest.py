"""A gateway with `/api/extra/v1`, and a ledger that a test writes as gateways and deliverers do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from ledger.ledger import Ledger
from ledger.opening import ledger_of
from ledger.values import Attempt, Key, Outcome, State
from tests.contract.api import Answer, Api, a_naam, message
from tests.contract.conftest import Stage
from tests.eventually import eventually


@dataclass
class Asking:
    """A kanaal, and two applications that ask: `api` is `beide`, which also publishes."""

    api: Api
    ledger: Ledger
    naam: str

    @property
    def root(self) -> str:
        return extra_root(self.api)

    async def get(self, path: str, *, of: str = "beide", **options: Any) -> Answer:
        return await self.api.of(of).get(self.root + path, **options)

    async def post(self, path: str, data: Any = None, *, of: str = "beide", **options: Any) -> Answer:
        return await self.api.of(of).post(self.root + path, data, **options)

    async def subscribe(
        self, *, of: str = "beide", callback: str = "http://127.0.0.1:9/", **filters: str
    ) -> UUID:
        """An abonnement on the kanaal; its UUID."""
        asked = {
            "callbackUrl": callback,
            "auth": "Token geheim",
            "kanalen": [{"naam": self.naam, "filters": filters}],
        }
        answer = await self.api.of(of).post("/abonnement", asked)
        assert answer.status == 201, answer.body
        return UUID(answer.json["url"].rpartition("/")[2])

    async def publish(self, *, of: str = "beide", **kenmerken: str) -> UUID:
        """Publish a notificatie; its id, once the ledger has it."""
        answer = await self.api.of(of).post("/notificaties", message(self.naam, kenmerken=kenmerken))
        assert answer.status == 201, answer.body
        id_ = UUID(answer.headers["nrc-notificatie-id"])
        await eventually(lambda: self.ledger.notificatie(id_))
        return id_

    async def end(self, id_: UUID, abonnement: UUID, state: State, **more: Any) -> None:
        """What a deliverer tells of it."""
        row = await self.ledger.delivery(Key(id_, abonnement))
        assert row is not None
        outcome = Outcome(Key(id_, abonnement), state, row.round, row.attempts + 1, row.last_at + 1, **more)
        await self.ledger.write([outcome])


def extra_root(api: Api) -> str:
    return api.root.replace("/api/v1", "/api/extra/v1")


def failed(at: int, status: int | None = 500, *, kind: str = "http_status", detail: str = "") -> Attempt:
    return Attempt(at, 1, kind, detail or f"answered {status}", status=status, ms=12.0)


@pytest.fixture(scope="session")
async def fast(stage: Stage) -> AsyncIterator[Api]:
    """A gateway of which one may ask as often as one wants."""
    async with stage.gateway(extra_rate=10000) as api:
        yield api


@pytest.fixture
async def asking(stage: Stage, fast: Api) -> AsyncIterator[Asking]:
    naam = a_naam()
    assert (
        await fast.post("/kanaal", {"naam": naam, "filters": ["zaaktype", "vertrouwelijk"]})
    ).status == 201
    async with ledger_of(stage.settings) as ledger:
        yield Asking(fast, ledger, naam)
