"""Bulk from the POST to the callback: it does not hold up the rest, and all of it comes, once."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

from ledger.opening import ledger_of
from ledger.values import State
from tests.broker import Broker
from tests.callback_server import Received, Wire, status
from tests.contract.api import message
from tests.eventually import eventually
from tests.integration.ledger.test_without_rabbitmq import whole

IDS = {"X-Batch-Id": "nacht-1", "X-Correlation-Id": "c-1"}


async def test_bulk_waits_while_its_queue_has_some_and_the_rest_goes_before_it(
    vhost: str, tmp_path: Path
) -> None:
    async with whole(vhost, tmp_path) as it:
        going = asyncio.Event()

        async def held(wire: Wire, received: Received) -> bool:
            await going.wait()
            return await status(204)(wire, received)

        it.callback.script("/a", held)
        bulk = []
        for _ in range(150):
            answer = await it.api.post("/notificaties", message(it.naam), headers=IDS)
            assert answer.status == 201
            bulk.append(answer.headers["nrc-notificatie-id"])
        # What /a holds up does not hold up /b, of the same notificaties.
        await it.comes("/b", bulk)
        (last,) = await it.post(1)
        await it.comes("/b", [last])
        going.set()
        await it.all_delivered([*bulk, last])
        assert list(it.got("/a")).index(last) < 60, "it found few of them before it"
        by_id = {each.header("webhook-id"): each for each in it.callback.at("/a")}
        assert {name: by_id[bulk[0]].header(name) for name in IDS} == IDS
        assert by_id[last].header("X-Batch-Id") is None


async def test_bulk_that_is_under_way_when_rabbitmq_is_wiped_comes_all_the_same(
    mortal_broker: Broker, tmp_path: Path
) -> None:
    """Some of it is at its callback, some in its queue, and the rest in the lane."""
    node = mortal_broker.private
    assert node is not None
    async with whole(mortal_broker.url, tmp_path) as it, ledger_of(it.stage.settings) as ledger:
        going = asyncio.Event()

        async def held(wire: Wire, received: Received) -> bool:
            await going.wait()
            return await status(204)(wire, received)

        for path in ("/a", "/b"):
            it.callback.script(path, held)
        bulk = []
        for _ in range(60):
            answer = await it.api.post("/notificaties", message(it.naam), headers=IDS)
            assert answer.status == 201
            bulk.append(answer.headers["nrc-notificatie-id"])
        await eventually(lambda: all(it.got(path).keys() & set(bulk) for path in ("/a", "/b")), within=60)
        assert await ledger.keeping.in_lane(), "some of it waits"
        await node.kill()
        shutil.rmtree(node.folder / "mnesia")
        await node.start()
        going.set()
        for path in ("/a", "/b"):
            await it.comes(path, bulk)

        async def all_is_told() -> bool:
            found = await ledger.deliveries([UUID(id_) for id_ in bulk])
            return {row.state for rows in found.values() for row in rows} == {State.DELIVERED}

        await eventually(all_is_told, within=90)
