"""Accepting while RabbitMQ is away, from the POST to the callback: gateway, router, deliverer and keeper."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from deliverer.service import serve as serve_deliverer
from ledger.keeper.service import Limits
from ledger.keeper.service import serve as serve_keeper
from ledger.losses import LedgerLosses
from ledger.opening import ledger_of
from ledger.values import State
from router.names import kanaal_exchange
from tests.broker import Broker
from tests.callback_server import CallbackServer
from tests.contract.api import Api, a_naam, abonnement_of, message
from tests.contract.conftest import Stage, open_stage
from tests.contract.publishing.test_api_homes import id_of
from tests.eventually import eventually
from tests.integration.conftest import open_link, running

LIMITS = Limits(lease=5.0, renewal=1.0, pause=0.2, longest_pause=0.5)
ALARM = "{resource_limit, memory, node()}"


@dataclass
class Whole:
    """All of it on one RabbitMQ, a kanaal, and two abonnementen on it."""

    stage: Stage
    api: Api
    callback: CallbackServer
    naam: str

    async def post(self, count: int) -> list[str]:
        """So many notificaties, each answered with 201; their ids."""
        answers = await asyncio.gather(
            *(self.api.post("/notificaties", message(self.naam)) for _ in range(count))
        )
        return [str(id_of(answer)) for answer in answers]

    def got(self, path: str) -> Counter[str | None]:
        """What came to a callback."""
        return Counter(received.header("webhook-id") for received in self.callback.at(path))

    async def comes(self, path: str, ids: list[str]) -> None:
        """Each comes to this callback, once at least."""
        await eventually(lambda: self.got(path).keys() >= set(ids), within=90)

    async def all_delivered(self, ids: list[str]) -> None:
        """Each came to each callback, once; the ledger says so."""
        for path in ("/a", "/b"):
            await eventually(lambda path=path: self.got(path).keys() >= set(ids), within=90)  # type: ignore[misc]
        async with ledger_of(self.stage.settings) as ledger:

            async def all_is_told() -> bool:
                found = await ledger.deliveries([UUID(id_) for id_ in ids])
                states = {row.state for rows in found.values() for row in rows}
                return states == {State.DELIVERED} and await ledger.keeping.unrouted_count() == 0

            await eventually(all_is_told, within=30)
        for path in ("/a", "/b"):
            got = self.got(path)
            assert [got[id_] for id_ in ids] == [1] * len(ids), got


@asynccontextmanager
async def whole(url: str, folder: Path) -> AsyncIterator[Whole]:
    """From ready to stopped."""
    async with (
        open_stage(url, folder, losses_of=LedgerLosses) as stage,
        stage.gateway() as api,
        CallbackServer() as callback,
    ):
        naam = a_naam()
        assert (await api.post("/kanaal", {"naam": naam})).status == 201
        for path in ("/a", "/b"):
            asked = {**abonnement_of(naam), "callbackUrl": callback.url(path)}
            assert (await api.post("/abonnement", asked)).status == 201
        async with (
            running(serve_deliverer, stage.settings),
            running(serve_keeper, stage.settings, limits=LIMITS),
        ):
            started = Whole(stage, api, callback, naam)
            await started.all_delivered(await started.post(3))
            yield started


async def test_rabbitmq_is_stopped_and_then_has_an_alarm(mortal_broker: Broker, tmp_path: Path) -> None:
    private = mortal_broker.private
    assert private is not None
    async with whole(mortal_broker.url, tmp_path) as it:
        await private.stop()
        ids = await it.post(20)
        await private.start()
        await it.all_delivered(ids)

        await mortal_broker.eval(f"rabbit_alarm:set_alarm({{{ALARM}, []}}).")
        ids += await it.post(20)
        await mortal_broker.eval(f"rabbit_alarm:clear_alarm({ALARM}).")
        await it.all_delivered(ids)


async def test_the_exchange_of_the_kanaal_is_deleted(vhost: str, tmp_path: Path) -> None:
    async with whole(vhost, tmp_path) as it, open_link(vhost) as link:
        assert link.connection is not None
        async with link.connection.channel() as channel:
            await channel.exchange_delete(kanaal_exchange(it.naam))
        ids = await it.post(20)
        await it.all_delivered(ids)


async def test_rabbitmq_loses_all_it_has_while_it_is_away(vhost: str, broker: Broker, tmp_path: Path) -> None:
    """What is accepted meanwhile is in the ledger, and comes once all stands again."""
    async with whole(vhost, tmp_path) as it:
        name = vhost.rpartition("/")[2]
        assert broker.control is not None
        await broker.control.remove_vhost(name)
        ids = await it.post(20)
        await broker.control.add_vhost(name)
        await it.all_delivered(ids)
