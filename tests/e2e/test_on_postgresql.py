"""The whole product with registry and ledger in PostgreSQL: `NRC_DATABASE_URL` is all that is set for it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nrc.rabbitmq.private_node import free_port
from tests.callback_server import CallbackServer, status
from tests.command import nrc
from tests.databases.pgbouncer import MISSING, can_be_before, pgbouncer
from tests.e2e.running import NRC, Running, environment, running
from tests.eventually import eventually
from tests.integration.console.conftest import Browser

TOO_OFTEN = 429  # on a fast machine eventually() asks more often than a client may
OBJECT = "https://zaken.example.nl/api/v1/zaken/1"
MESSAGE = {
    "kanaal": "zaken",
    "hoofdObject": OBJECT,
    "resource": "zaak",
    "resourceUrl": OBJECT,
    "actie": "create",
    "aanmaakdatum": "2024-05-14T10:59:13Z",
    "kenmerken": {"bronorganisatie": "224557609"},
}


class Product:
    """What runs: its API, its commands, and one abonnement for everything on kanaal zaken."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = env
        self.abonnement = ""

    async def subscribe(self, session: aiohttp.ClientSession, callback: str) -> None:
        """Make kanaal and abonnement, with the rights of this session."""
        self._session = session
        await self.call("POST", "v1/kanaal", {"naam": "zaken", "filters": ["bronorganisatie"]})
        wanted = {"callbackUrl": callback, "auth": "Token abc", "kanalen": [{"naam": "zaken"}]}
        made, _ = await self.call("POST", "v1/abonnement", wanted)
        self.abonnement = made["url"].rpartition("/")[2]

    async def call(self, method: str, path: str, body: Any = None) -> tuple[Any, Mapping[str, str]]:
        """The JSON and the headers of an answer that is no error."""
        async with self._session.request(method, f"/api/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json(), answer.headers

    async def publish(self) -> str:
        """The id of a notificatie that is accepted now."""
        return (await self.call("POST", "v1/notificaties", MESSAGE))[1]["nrc-notificatie-id"]

    async def became(self, notificatie: str, **counts: int) -> bool:
        """Whether so many of its deliveries are delivered, waiting, undeliverable."""
        async with self._session.get(f"/api/extra/v1/notificaties/{notificatie}") as answer:
            if answer.status == TOO_OFTEN:
                return False
            assert answer.status == 200, await answer.text()
            told = await answer.json()
        return all(told[name] == count for name, count in counts.items())

    async def state(self) -> Any:
        """What its consumer is told of the abonnement."""
        return (await self.call("GET", f"extra/v1/abonnement/{self.abonnement}/status"))[0]

    async def command(self, *arguments: str) -> str:
        """What a command prints."""
        done = await asyncio.to_thread(nrc, self._folder, *arguments, env=self._env)
        assert done.code == 0, (arguments, done.out, done.err)
        return done.out


@dataclass(frozen=True)
class Up:
    """All of it, with one abonnement. console: its address."""

    product: Product
    callback: CallbackServer
    process: Running
    console: str


@asynccontextmanager
async def everything(vhost: str, folder: Path, **database: str) -> AsyncIterator[Up]:
    """`nrc up` with these settings, as it is used; it has ended well, and without a file, afterwards."""
    gateway, console = (f"127.0.0.1:{free_port()}" for _ in range(2))
    settings = {
        "NRC_AMQP_URL": vhost,
        "NRC_STATE_DIR": str(folder),
        "NRC_GATEWAY_LISTEN": gateway,
        "NRC_CONSOLE_LISTEN": console,
        "NRC_INBOX_LISTEN": "",
        "NRC_RETRY_SCHEDULE": "1",
        "NRC_CALLBACK_CHECK": "off",
        **database,
    }
    env = environment(**settings)
    async with CallbackServer() as callback, running(*NRC, "up", "--no-demo", env=env, cwd=folder) as up:
        await up.says(f"NRC ready: http://{gateway}/api/v1")
        product = Product(folder, settings)
        await product.command(
            *("application", "add", "zac", "--new", "--scope", "publiceren", "--scope", "consumeren")
        )
        header = (await product.command("token", "zac")).strip().partition(": ")[2]
        async with aiohttp.ClientSession(f"http://{gateway}", headers={"Authorization": header}) as session:
            await product.subscribe(session, callback.url())
            yield Up(product, callback, up, console)
        assert not list(await asyncio.to_thread(folder.glob, "*.db")), "a file in place of PostgreSQL"
        assert await up.stop() == 0
        assert "Traceback" not in up.err, up.err
        assert "database is away" not in up.err
        assert "database does not notify" not in up.err


async def test_the_whole_product_on_postgresql(vhost: str, database_url: str, tmp_path: Path) -> None:
    async with everything(vhost, tmp_path, NRC_DATABASE_URL=database_url) as up:
        delivered = await up.product.publish()
        await eventually(lambda: up.product.became(delivered, delivered=1), within=30)
        failed = await it_fails_and_is_held(up.product, up.callback)
        await operators_ask(up.product, delivered=delivered, failed=failed)
        await it_is_sent_again(up.product, up.callback, delivered=delivered, failed=failed)
        pages = f"notificaties/{delivered}/", "abonnementen/"
        await the_console_shows_it(up.process.out, up.console, *pages)


async def test_it_delivers_behind_pgbouncer(vhost: str, database_url: str, tmp_path: Path) -> None:
    if not can_be_before(database_url):
        pytest.skip(MISSING)
    async with (
        pgbouncer(database_url) as behind,
        everything(vhost, tmp_path, NRC_DATABASE_URL=behind, NRC_DATABASE_LISTEN_URL=database_url) as up,
    ):
        accepted = [await up.product.publish() for _ in range(20)]
        for each in accepted:
            await eventually(lambda id_=each: up.product.became(id_, delivered=1), within=60)
        assert {each.header("webhook-id") for each in up.callback.received} == set(accepted)
        told = json.loads(await up.product.command("status", "--json"))
        assert all(part["ok"] for part in told["parts"].values()), told


async def it_fails_and_is_held(product: Product, callback: CallbackServer) -> str:
    """One is undeliverable after its two attempts; after ten failures the others wait until it is resumed."""
    callback.script("/", status(503))
    failed = await product.publish()
    await eventually(lambda: product.became(failed, undeliverable=1), within=30)
    others = [await product.publish() for _ in range(12)]

    async def is_held() -> bool:
        return bool((await product.state())["state"] == "held")

    await eventually(is_held, within=30)
    told = await product.state()
    assert told["waiting"] + told["retrying"] > 0, told
    callback.script("/", status(204))
    await product.command("abonnement", "resume", product.abonnement)
    for each in others:
        await eventually(lambda id_=each: product.became(id_, waiting=0), within=30)
    return failed


async def operators_ask(product: Product, *, delivered: str, failed: str) -> None:
    told = json.loads(await product.command("status", "--json"))
    assert all(part["ok"] for part in told["parts"].values()), told
    assert told["counts"]["60"]["accepted"] == 14
    ledger = json.loads(await product.command("ledger", "status", "--json"))
    assert ledger["keeper"], ledger
    traced = await product.command("trace", OBJECT)
    assert delivered in traced
    assert "Onbestelbaar" in traced
    assert "Afgeleverd" in await product.command("explain", delivered, "--abonnement", product.abonnement)
    assert json.loads(await product.command("undeliverable", "list", "--json"))[0]["id"] == failed
    checked = json.loads(await product.command("secrets", "check", "--json"))
    assert (sum(each["secrets"] for each in checked["keys"]), checked["faults"]) == (3, [])


async def it_is_sent_again(
    product: Product, callback: CallbackServer, *, delivered: str, failed: str
) -> None:
    """What was undeliverable, what was delivered, and all of an hour."""

    def came(notificatie: str) -> int:
        return sum(each.header("webhook-id") == notificatie for each in callback.received)

    before = came(delivered)
    await product.command("undeliverable", "resend", failed)
    await eventually(lambda: product.became(failed, delivered=1, undeliverable=0), within=30)
    await product.command("resend", delivered, "--abonnement", product.abonnement)
    await eventually(lambda: came(delivered) == before + 1, within=30)
    start = ("replay", "start", "--to", product.abonnement, "--client", "zac", "--after", "1h", "--yes")
    await product.command(*start, "--reason", "a test")
    await eventually(lambda: came(delivered) == before + 2, within=30)


async def the_console_shows_it(said: str, address: str, *pages: str) -> None:
    """Its first user logs in; each page that the menu names, and these, are there."""
    password = re.search(r"first user, said once: admin, with password (\S+)", said)
    assert password, said
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        browser = Browser(f"http://{address}/console/", session)
        home = await browser.log_in("admin", password[1])
        assert home.url == browser.root, home.text
        menu = re.findall(r'<li><a class="nl-link" href="./([^"]*)"', home.text)
        assert len(menu) >= 6, home.text
        for path in (*menu, *pages):
            page = await browser.get(path)
            assert page.status == 200, (path, page.text)
            assert "nl-alert--error" not in page.text, (path, page.text)
