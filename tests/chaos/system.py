"""The product under test: RabbitMQ, a router, two gateways on one socket, two deliverers, a keeper.

All are real processes that are started here, so that each can be signalled alone. Owns their order of
starting and stopping, which is that of `nrc up`; counts what each kill may have had in flight.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from yarl import URL

from extra.asking import ROOT as EXTRA
from ledger.opening import LEDGER_FILE
from ledger.values import State
from nrc.processes import LISTEN_FD
from runtime.listening import bind, listen
from tests.chaos.accounting.account import Repeats
from tests.chaos.broker import Broker
from tests.chaos.clients import load
from tests.chaos.faults.ledger_file import LedgerDatabase, LedgerFile, LedgerRows, OfAbonnement
from tests.chaos.faults.proxy import Proxy
from tests.chaos.process import ROOT, Process
from tests.databases.failover import Pair
from tests.tokens import token

CLIENT, SECRET = "chaos", "a-secret-of-the-chaos-tests-0123456789"
PREFETCH = 20
SCHEDULE = (1, 1, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4)

SETTINGS: Mapping[str, str] = {
    "NRC_CALLBACK_CHECK": "off",
    "NRC_CALLBACK_ALLOW_LOOPBACK": "true",
    "NRC_CALLBACK_TIMEOUT": "3",
    # In flight per queue and deliverer, and so what a killed one may deliver twice.
    "NRC_DELIVERER_PREFETCH": str(PREFETCH),
    "NRC_RETRY_SCHEDULE": ",".join(map(str, SCHEDULE)),
    "NRC_LOG_FORMAT": "json",
    "NRC_LOG_LEVEL": "info",
}


@dataclass(slots=True)
class System:
    """Everything that one state folder runs.

    repeats: what may be delivered twice, for each fault since it was last emptied. problems: what a process
    did at a stop that it should not have done. proxies: between RabbitMQ and a kind of process, where a
    scenario has such. callbacks_at: where it reaches callbacks; "" for loopback.
    databases: its PostgreSQL servers, where registry and ledger are in them.
    """

    folder: Path
    broker: Broker
    processes: dict[str, Process]
    port: int
    sock: socket.socket
    queues: int = 0
    repeats: list[Repeats] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    callbacks_at: str = ""
    databases: Pair | None = None

    # -- which

    @property
    def gateway_addresses(self) -> list[tuple[str, int]]:
        """Host and port of each gateway that has its own; of several on one socket that one."""
        return [("127.0.0.1", self.port)]

    @property
    def gateways(self) -> list[str]:
        """Their names."""
        return self._of_kind("gateway")

    @property
    def routers(self) -> list[str]:
        """Their names."""
        return self._of_kind("router")

    @property
    def deliverers(self) -> list[str]:
        """Their names."""
        return self._of_kind("deliverer")

    @property
    def keepers(self) -> list[str]:
        """Their names."""
        return self._of_kind("ledger")

    def _of_kind(self, kind: str) -> list[str]:
        return [name for name, process in self.processes.items() if process.kind == kind]

    @property
    def ledger(self) -> LedgerFile:
        """The ledger's file."""
        return LedgerFile(self.folder / LEDGER_FILE)

    @property
    def rows(self) -> LedgerRows:
        """The ledger, in its file or in PostgreSQL."""
        return LedgerDatabase(self.database_url) if self.database_url else self.ledger

    @property
    def database_url(self) -> str:
        """NRC_DATABASE_URL; "" with SQLite."""
        return self.processes[self.routers[0]].env.get("NRC_DATABASE_URL", "")

    async def keeper_has_work(self) -> bool:
        """Whether something is on its way from the ledger into RabbitMQ."""
        return await asyncio.to_thread(self.rows.gives_back)

    async def undeliverable(self) -> list[OfAbonnement]:
        """All that is undeliverable in the ledger."""
        return await asyncio.to_thread(self.rows.in_state, State.UNDELIVERABLE)

    async def delivered(self) -> list[OfAbonnement]:
        """All that is delivered by the ledger."""
        return await asyncio.to_thread(self.rows.in_state, State.DELIVERED)

    async def unsure(self) -> list[OfAbonnement]:
        """All that is unsure in the ledger."""
        return await asyncio.to_thread(self.rows.in_state, State.UNSURE)

    async def given_back(self) -> dict[OfAbonnement, str]:
        """Why each delivery was put into its queue again, of those that were."""
        return await asyncio.to_thread(self.rows.given_back)

    async def consolidated(self) -> dict[OfAbonnement, str]:
        """The newer one in which each delivery ended, of those that did."""
        return await asyncio.to_thread(self.rows.consolidated)

    async def open_of(self, abonnementen: Iterable[UUID]) -> list[OfAbonnement]:
        """All that is open of these in the ledger."""
        return await asyncio.to_thread(self.rows.open_of, frozenset(abonnementen))

    async def waiting_in_ledger(self) -> list[OfAbonnement]:
        """All that waits in the ledger and is in no queue."""
        return await asyncio.to_thread(self.rows.waiting)

    # -- one process

    async def start(self, name: str) -> None:
        """Start it; it is ready when this returns."""
        await self.processes[name].start()
        await self.processes[name].ready()

    async def start_all(self, names: Iterable[str] | None = None) -> None:
        """Start those that do not run, together; they are ready when this returns."""
        chosen = self.processes if names is None else names
        stopped = [self.processes[name] for name in chosen if not self.processes[name].alive]
        for process in stopped:
            await process.start()
        await asyncio.gather(*(process.ready() for process in stopped))

    async def kill(self, *names: str) -> None:
        """SIGKILL; they have ended when this returns."""
        for name in names:
            self.in_flight(f"{name} killed", name)
            self.processes[name].signal(signal.SIGKILL)
        for name in names:
            await self.processes[name].ended()

    async def term(self, name: str) -> None:
        """SIGTERM; it has ended when this returns, and with exit code 0, or that is a problem."""
        self.processes[name].signal(signal.SIGTERM)
        code = await self.processes[name].ended()
        if code:
            self.problems.append(f"{name} ended with exit code {code} after SIGTERM")

    def in_flight(self, why: str, *names: str) -> None:
        """Note that what these processes had in flight may be delivered twice.

        Only a deliverer has such: for each queue at most its prefetch was with it and not acknowledged.
        """
        deliverers = [name for name in names if self.processes[name].kind == "deliverer"]
        running = sum(self.processes[name].alive for name in deliverers)
        if running:
            prefetch = int(self.processes[deliverers[0]].env["NRC_DELIVERER_PREFETCH"])
            self.repeats.append(Repeats(why, running * prefetch * self.queues))

    # -- RabbitMQ

    async def kill_broker(self) -> None:
        """SIGKILL; gone when this returns."""
        self.in_flight("RabbitMQ killed", *self.deliverers)
        await self.broker.kill()

    async def stop_broker(self) -> None:
        """Stopped cleanly."""
        self.in_flight("RabbitMQ stopped", *self.deliverers)
        await self.broker.stop()

    async def wipe_broker(self) -> float:
        """Killed, and all its state gone; the moment of the kill."""
        await self.kill_broker()
        at = time.monotonic()
        self.broker.forget_everything()
        return at

    # -- the API

    @asynccontextmanager
    async def api(self, gateway: int = 0) -> AsyncIterator[aiohttp.ClientSession]:
        """A client of the API; paths such as "kanaal". gateway: which of `gateway_addresses`."""
        host, port = self.gateway_addresses[gateway]
        async with aiohttp.ClientSession(
            base_url=f"http://{host}:{port}/api/v1/",
            headers={"Authorization": self.authorization},
            timeout=aiohttp.ClientTimeout(total=60, connect=5),
        ) as session:
            yield session

    @property
    def authorization(self) -> str:
        """A fresh Authorization header of an application that may publish and subscribe."""
        return token(CLIENT, secret=SECRET)

    async def call(self, method: str, path: str, body: Any = None, *, within: float = 30.0) -> Any:
        """The JSON answer of the API, asked again after each 503, of the next gateway where there are others.

        Raises RuntimeError for other refusals.
        """
        until, told = time.monotonic() + within, "no connection"
        gateways = cycle(range(len(self.gateway_addresses)))
        while True:
            with suppress(aiohttp.ClientConnectionError):
                async with (
                    self.api(next(gateways)) as session,
                    session.request(method, path, json=body) as answer,
                ):
                    if answer.status < 300:
                        return await answer.json() if answer.status != 204 else None
                    told = await answer.text()
                    if answer.status == 404 and method == "DELETE":
                        return None
                    if answer.status != 503:
                        raise RuntimeError(f"{method} {path}: {answer.status} {told}")
            if time.monotonic() > until:
                raise RuntimeError(f"{method} {path}: no success within {within:g} s; last: {told}")
            await asyncio.sleep(0.2)

    async def subscribe(self, wanted: load.Wanted, callback: str) -> UUID:
        """A new abonnement, by the API; its UUID."""
        body = {"callbackUrl": callback, "auth": "Token chaos", "kanalen": list(wanted.kanalen)}
        made = await self.call("POST", "abonnement", body)
        self.queues += 1
        uuid = UUID(made["url"].rpartition("/")[2])
        if wanted.options:
            await self.call("PUT", f"{EXTRA}/abonnement/{uuid}/options", wanted.options)
        return uuid

    async def unsubscribe(self, uuid: UUID) -> None:
        """Delete an abonnement, by the API."""
        await self.call("DELETE", f"abonnement/{uuid}")
        self.queues -= 1

    async def subscribe_pulled(self, wanted: load.Wanted) -> UUID:
        """A new abonnement without a callback, whose consumer fetches; its UUID."""
        made = await self.call("POST", f"{EXTRA}/abonnement", {"kanalen": list(wanted.kanalen)})
        return UUID(made["uuid"])

    async def unsubscribe_pulled(self, uuid: UUID) -> None:
        """Delete such an abonnement."""
        await self.call("DELETE", f"{EXTRA}/abonnement/{uuid}")

    async def subscribe_direct(self, wanted: load.Wanted) -> tuple[UUID, str]:
        """A new abonnement whose consumer reads RabbitMQ; its UUID, and the URL with user and password."""
        asked = {"kanalen": list(wanted.kanalen), "amqp": wanted.amqp}
        made = await self.call("POST", f"{EXTRA}/abonnement/amqp", asked)
        self.queues += 1
        amqp = made["amqp"]
        return UUID(made["uuid"]), str(
            URL(amqp["url"]).with_user(amqp["user"]).with_password(amqp["password"])
        )

    async def unsubscribe_direct(self, uuid: UUID) -> None:
        """Delete such an abonnement, with its queue and user."""
        await self.call("DELETE", f"{EXTRA}/abonnement/{uuid}")
        self.queues -= 1

    async def nrc(self, *words: str, fails: bool = False, root: Path | None = None) -> str:
        """What a command of `nrc` prints, run beside the system. Raises RuntimeError unless it may fail.

        root: where its code is; None: where that of the first router is.
        """
        router = self.processes[self.routers[0]]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "nrc", *words),
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root or router.root), **router.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode and not fails:
            raise RuntimeError(f"nrc {' '.join(words)}: {err.decode()}")
        return out.decode()

    # -- all of it

    def ended_processes(self) -> list[str]:
        """Which do not run."""
        return [name for name, process in self.processes.items() if not process.alive]

    def healthy(self) -> bool:
        """Whether everything runs."""
        return self.broker.private.alive and not self.ended_processes()

    def read_logs(self) -> None:
        """Note what the logs have since the last look: faults, and what may have arrived twice."""
        for name, process in self.processes.items():
            news = process.news()
            self.problems += news.faults
            if news.gave_up:
                self.repeats.append(Repeats(f"{name} waited no longer for an answer", news.gave_up))
            for _ in range(news.unconfirmed):
                self.in_flight(f"{name} lost its publishing connection", name)

    async def stop(self) -> None:
        """Everything has ended: gateways, deliverers, keeper, router, RabbitMQ."""
        for names in (self.gateways, self.deliverers, self.keepers, self.routers):
            for name in names:
                self.processes[name].signal(signal.SIGTERM)
            for name in names:
                if self.processes[name].alive:
                    try:
                        await self.processes[name].ended()
                    except TimeoutError:
                        await self.kill(name)
        await self.broker.close()


@asynccontextmanager
async def system(
    *,
    settings: Mapping[str, str] | None = None,
    per_process: Mapping[str, Mapping[str, str]] | None = None,
    prefixes: Mapping[str, list[str]] | None = None,
    broker: Broker | None = None,
    amqp_urls: Mapping[str, str] | None = None,
    more: Mapping[str, str] | None = None,
    direct: bool = False,
    root: Path = ROOT,
    keep: bool = False,
) -> AsyncIterator[System]:
    """A running system in a temporary folder, with the kanalen of the load.

    settings: on top of SETTINGS, for all processes; per_process, prefixes, amqp_urls: by name of process
    (`amqp_urls` may be set later too: it is NRC_AMQP_URL in `processes[name].env`). broker: another one than
    a private node in the folder. more: further processes, each with its kind. direct: consumers may read
    RabbitMQ (AMQP direct). root: where the code of all is. keep: leave the folder, with the logs, where it
    is.
    """
    folder = Path(tempfile.mkdtemp(prefix="nrc-chaos-"))
    sock = bind(("127.0.0.1", 0), name="NRC_GATEWAY_LISTEN")
    made: System | None = None
    broker = broker or Broker(folder, management=direct)
    try:
        await broker.start()
        names = {"router": "router", "gateway 1": "gateway", "gateway 2": "gateway"}
        names |= {"deliverer 1": "deliverer", "deliverer 2": "deliverer", "ledger": "ledger"}
        names |= more or {}
        processes = {}
        for name, kind in names.items():
            env = {
                **SETTINGS,
                "NRC_STATE_DIR": str(folder),
                "NRC_AMQP_URL": (amqp_urls or {}).get(name, broker.url),
                **(settings or {}),
                **((per_process or {}).get(name, {})),
            }
            if direct:
                env["NRC_AMQP_DIRECT"] = "true"
            if direct and kind == "router":
                env["NRC_RABBITMQ_MANAGEMENT_URL"] = broker.management_url
            fds = []
            if kind == "gateway":
                env[LISTEN_FD] = str(sock.fileno())
                fds = [sock.fileno()]
            log = folder / f"{name.replace(' ', '-')}.log"
            processes[name] = Process(kind, name, env=env, fds=fds, log=log, root=root)
            processes[name].prefix = list((prefixes or {}).get(name, []))
        made = System(folder, broker, processes, sock.getsockname()[1], sock)
        await made.nrc(
            *("application", "add", CLIENT, "--new", "--secret", SECRET, "--scope", "publiceren"),
            *("--scope", "consumeren"),
        )
        await made.start("router")
        listen(sock, name="NRC_GATEWAY_LISTEN")
        await made.start_all()
        for kanaal in (*load.KANALEN, load.OBJECTEN):
            await made.call("POST", "kanaal", kanaal)
        yield made
    finally:
        if made is not None:
            await made.stop()
        else:
            await broker.close()
        sock.close()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
