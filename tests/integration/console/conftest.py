"""A running console on a virtual host with a router, a registry and a ledger; and users of each role."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from argon2 import PasswordHasher

from console.service import serve
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.opening import ledger_of
from ledger.values import Entry
from runtime.settings import Settings
from schemas.abonnement import Hold, State
from schemas.application import Application, Scope
from schemas.user import Role, User
from store.opening import open_registry
from store.registry import Registry
from tests.broker import Broker
from tests.contract.api import free_socket
from tests.integration.conftest import running, running_router
from tests.make import a_kanaal, an_abonnement

SECRET = "a secret of an application, for tests"
NO_GATEWAY = "127.0.0.1:1"  # else the gateway of another test might be taken for this one's
PASSWORD = "a long password of a test"
HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
_TOKEN = re.compile(r'name="token" value="([0-9a-f]+)"')


@dataclass
class Page:
    """An answer, as a browser has it."""

    status: int
    text: str
    headers: Mapping[str, str]
    url: str

    @property
    def token(self) -> str:
        """The token in its forms."""
        found = _TOKEN.search(self.text)
        assert found, self.text
        return found[1]


@dataclass
class Browser:
    """What keeps cookies, follows redirects and says where a form comes from."""

    root: str
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str = "", **options: Any) -> Page:
        async with self.session.get(self.root + path, headers=self.headers, **options) as answer:
            return Page(answer.status, await answer.text(), answer.headers, str(answer.url))

    async def post(self, path: str, data: Mapping[str, Any], **options: Any) -> Page:
        headers = {"Origin": self.root.removesuffix("/console/"), **self.headers}
        async with self.session.post(self.root + path, data=data, headers=headers, **options) as answer:
            return Page(answer.status, await answer.text(), answer.headers, str(answer.url))

    async def log_in(self, name: str, password: str = PASSWORD, *, to: str = "") -> Page:
        return await self.post(f"inloggen/{to}", {"naam": name, "wachtwoord": password})

    async def act(self, path: str, doen: str, **fields: Any) -> Page:
        """What a form of this page does."""
        page = await self.get(path)
        return await self.post(path, {"token": page.token, "doen": doen, **fields})


@dataclass
class Served:
    """A console. said: what it printed."""

    settings: Settings
    registry: Registry
    root: str
    said: list[str]

    @asynccontextmanager
    async def browser(self, role: Role | None = None) -> AsyncIterator[Browser]:
        """A browser of its own, in which a user with this role is logged in."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            browser = Browser(self.root, session)
            if role is not None:
                page = await browser.log_in(role.value)
                assert page.url == self.root, page.text
            yield browser


@asynccontextmanager
async def console_on(settings: Settings, sock: socket.socket | None = None) -> AsyncIterator[Served]:
    """A console with these settings, on `sock` or any. Beside it the registry is open."""
    sock, said = sock or free_socket(), list[str]()
    host, port = sock.getsockname()
    async with (
        open_registry(settings.registry_file) as registry,
        running(serve, settings, sock=sock, say=said.append),
    ):
        yield Served(settings, registry, f"http://{host}:{port}/console/", said)


async def add_users(registry: Registry) -> None:
    """A user for each role, of that name."""
    for role in Role:
        await registry.users.add(User(role.value, HASH, role, made=time.time()))


async def add_things(registry: Registry, ledger: Ledger) -> None:
    """A kanaal, two applications, an abonnement in each state, and what waits for them."""
    await registry.add_kanaal(a_kanaal("zaken", "bronorganisatie"))
    await registry.add_application(Application("bron", SECRET, "Onze bron", frozenset({Scope.PUBLICEREN})))
    await registry.add_application(
        Application("zac", SECRET, "Zaakafhandelcomponent", frozenset(Scope), False, "old", 4e9)
    )
    active, held, suspended = [
        await registry.add_abonnement(
            replace(an_abonnement(("zaken", {}), callback=f"http://127.0.0.1:9/{name}"), client_id="zac")
        )
        for name in ("active", "held", "suspended")
    ]
    await registry.set_hold(
        held.uuid,
        Hold(time.time() - 662, 3, time.time() + 60),
        "timeout: no answer within 10 s",
        before=None,
        callback_url=held.callback_url,
    )
    await registry.set_state(suspended.uuid, State.SUSPENDED, "callback answered 410 (gone)")
    now = int(time.time() * 1000)
    await ledger.write(
        [
            Entry(
                *(new_id(at=now / 1000 - age), now - age * 1000, "bron", "zaken", "zaak", "create"),
                *("https://zaken.example.nl/1", "https://zaken.example.nl/1", {}, b"{}", 1),
                matched=(active.uuid, held.uuid, suspended.uuid),
            )
            for age in (5, 300, 4000)
        ]
    )


@pytest.fixture(scope="module")
async def served(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A console beside a router, with users and some things to show; of one file of tests."""
    url = await broker.fresh_vhost()
    folder: Path = tmp_path_factory.mktemp("console")
    async with (
        running_router(url, folder, gateway_listen=NO_GATEWAY) as router,
        ledger_of(router.settings) as ledger,
    ):
        await add_users(router.registry)
        await add_things(router.registry, ledger)
        async with console_on(router.settings) as served:
            yield served
    await broker.remove_vhost(url)
