"""Restarting processes one after the other, under load: publishers see no error, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.requests import ROUTER_TIMEOUT
from schemas.application import Application, Scope
from store.opening import open_registry
from tests.broker import Broker
from tests.callback_server import CallbackServer
from tests.e2e.running import NRC, Running, environment, running
from tests.eventually import eventually
from tests.make import a_kanaal
from tests.tokens import token

PUBLISHERS = 6
PACE = 0.1  # seconds between an answer and the next request of a publisher

MESSAGE: dict[str, Any] = {
    "kanaal": "zaken",
    "hoofdObject": "https://example.nl/zaken/1",
    "resource": "status",
    "resourceUrl": "https://example.nl/statussen/1",
    "actie": "create",
    "aanmaakdatum": "2019-03-27T10:59:13Z",
}


@dataclass
class Publishing:
    """Publishers that go on until told to stop. accepted: the ids of all that was answered with 201."""

    root: str
    accepted: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, session: aiohttp.ClientSession) -> None:
        while not self._done.is_set():
            try:
                async with session.post(f"{self.root}/notificaties", json=MESSAGE) as answer:
                    if answer.status == 201:
                        self.accepted.append(answer.headers["nrc-notificatie-id"])
                    else:
                        self.errors[f"{answer.status}: {await answer.text()}"] += 1
            except (aiohttp.ClientError, OSError) as error:
                self.errors[repr(error)] += 1
            await asyncio.sleep(PACE)

    async def more(self, count: int) -> None:
        """Return once so many more were accepted."""
        until = len(self.accepted) + count
        await eventually(lambda: len(self.accepted) >= until, within=60)

    def stop(self) -> None:
        self._done.set()


@asynccontextmanager
async def publishing(root: str) -> AsyncIterator[Publishing]:
    """Publishers on connections that stay open, and as many with a new connection for each request."""
    load = Publishing(root)
    headers = {"Authorization": token("beide")}
    async with (
        aiohttp.ClientSession(headers=headers) as kept,
        aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(force_close=True)) as fresh,
    ):
        tasks = [
            asyncio.create_task(load.run(session)) for session in (kept, fresh) for _ in range(PUBLISHERS)
        ]
        try:
            yield load
        finally:
            load.stop()
            await asyncio.gather(*tasks)


@dataclass
class System:
    """What runs, and where it delivers to."""

    up: Running
    root: str
    callback: CallbackServer

    def pid(self, label: str) -> int:
        """The process that has this label now."""
        again = re.findall(rf"started again +name=(?:'{label}'|{label}) pid=(\d+)", self.up.err)
        first = re.search(rf"Processes .*\b{label} (\d+)", self.up.out)
        assert first
        return int(again[-1] if again else first[1])

    async def restart(self, label: str) -> None:
        """Tell a process to stop, and return once its successor is at work."""
        before = self.pid(label)
        ready = self.readies(label)
        os.kill(before, signal.SIGTERM)
        await eventually(lambda: self.pid(label) != before, within=60)
        await eventually(lambda: self.readies(label) > ready, within=60)

    def readies(self, label: str) -> int:
        return len(re.findall(rf"\] ready +process=(?:'{label}'|{label})\n", self.up.err))

    def away(self, label: str) -> float:
        """Seconds from when a process was told to stop until its successor was ready."""
        told, back = (
            re.findall(rf"^(\S+) .*\] {event} +process={label}\b", self.up.err, re.MULTILINE)[-1]
            for event in ("stopping", "ready")
        )
        return (datetime.fromisoformat(back) - datetime.fromisoformat(told)).total_seconds()

    def delivered(self) -> Counter[str]:
        """How often each notificatie came in."""
        return Counter(received.header("webhook-id") or "" for received in self.callback.at("/"))

    async def all_delivered(self, ids: list[str]) -> None:
        await eventually(lambda: not set(ids) - self.delivered().keys(), within=60)


@asynccontextmanager
async def system(vhost: str, place: Path, **settings: str) -> AsyncIterator[System]:
    """`nrc up` with one abonnement on kanaal zaken."""
    env = environment(
        NRC_AMQP_URL=vhost,
        NRC_STATE_DIR=str(place),
        NRC_GATEWAY_LISTEN="127.0.0.1:0",
        NRC_CALLBACK_CHECK="off",
        **settings,
    )
    async with open_registry(place / "registry.db") as registry:
        await registry.add_application(Application("beide", "edieb", scopes=frozenset(Scope)))
        await registry.add_kanaal(a_kanaal("zaken"))
    async with CallbackServer() as callback, running(*NRC, "up", "--no-demo", env=env, cwd=place) as up:
        await up.says("NRC ready: ")
        found = re.search(r"NRC ready: (\S+)", up.out)
        assert found
        it = System(up, found[1], callback)
        assert await subscribe(it.root, callback.url()) == 201
        yield it
        assert await up.stop() == 0
        assert "Traceback" not in up.err, up.err


async def subscribe(root: str, callback: str) -> int:
    abonnement = {"callbackUrl": callback, "auth": "Token x", "kanalen": [{"naam": "zaken"}]}
    async with (
        aiohttp.ClientSession(headers={"Authorization": token("beide")}) as session,
        session.post(f"{root}/abonnement", json=abonnement) as answer,
    ):
        return answer.status


@pytest.fixture(scope="module")
async def two(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """With two gateways and two deliverers, of which each test restarts others."""
    vhost = await broker.fresh_vhost()
    several = {"NRC_GATEWAY_PROCESSES": "2", "NRC_DELIVERER_PROCESSES": "2"}
    async with system(vhost, tmp_path_factory.mktemp("two"), **several) as it:
        yield it
    await broker.remove_vhost(vhost)


async def test_two_gateways(two: System) -> None:
    await gateways_restart(two, "gateway 1", "gateway 2")


async def test_the_only_gateway(vhost: str, tmp_path: Path) -> None:
    """Connections wait in the socket's queue for its successor."""
    async with system(vhost, tmp_path) as it:
        await gateways_restart(it, "gateway")


async def gateways_restart(it: System, *labels: str) -> None:
    async with publishing(it.root) as load:
        await load.more(100)
        for label in labels:
            await it.restart(label)
            await load.more(100)

    assert load.errors == {}
    await it.all_delivered(load.accepted)
    assert "a process died" not in it.up.err


async def test_the_router(two: System) -> None:
    """Publishing does not need it; an abonnement that is made meanwhile waits a while for the next one."""
    async with publishing(two.root) as load:
        await load.more(50)
        restart = asyncio.create_task(two.restart("router"))
        await eventually(lambda: re.search(r"\] stopping +process=router\b", two.up.err))
        status = await subscribe(two.root, two.callback.url("/new"))
        await restart
        await load.more(50)

    assert load.errors == {}
    await two.all_delivered(load.accepted)
    if status == 201:
        assert two.callback.at("/new")
    else:  # a machine so busy that a process needs this long to start
        assert (status, two.away("router") > ROUTER_TIMEOUT) == (503, True), two.up.err


async def test_deliverers(two: System) -> None:
    """What is under way ends, what had not started goes back: nothing is lost, and nothing sent twice."""
    async with publishing(two.root) as load:
        await load.more(100)
        for label in ("deliverer 1", "deliverer 2"):
            await two.restart(label)
            await load.more(100)

    assert load.errors == {}
    await two.all_delivered(load.accepted)
    times = two.delivered()
    assert {times[id_] for id_ in load.accepted} == {1}
