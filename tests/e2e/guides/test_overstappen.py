"""docs/overstappen.md, step by step: over and back again while sources go on publishing; nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import orjson
import pytest

import gateway.service
import router.declaring.service
from deliverer.service import serve as serve_deliverer
from ledger.keeper.service import Limits
from ledger.keeper.service import serve as serve_keeper
from ledger.losses import LedgerLosses
from ledger.opening import ledger_of
from runtime.settings import Settings
from store.opening import registry_of
from tests.callback_server import CallbackServer, Received, status
from tests.command import Ran, nrc_process
from tests.contract.api import free_socket
from tests.databases.open_notificaties import OpenNotificaties, message, open_notificaties
from tests.databases.open_notificaties_at_work import AtWork
from tests.eventually import eventually
from tests.integration.conftest import running, settings_for
from tests.tokens import token

pytestmark = pytest.mark.usefixtures("broker")

PAGE = (Path(__file__).parents[3] / "docs" / "overstappen.md").read_text()
LIMITS = Limits(lease=10.0, renewal=1.0, again=5.0, settled=0.3, pause=0.1, longest_pause=0.3)
OTHERS = "--others-connected"  # the test itself, and other tests
SOME = 8  # notificaties that are published between two steps
PACE = 0.2  # seconds between two requests of a source


def step(text: str) -> None:
    """The next step is on the page."""
    assert text in PAGE, f"docs/overstappen.md does not say: {text}"


@dataclass
class Address:
    """Where the API is: what a proxy or DNS says."""

    root: str


@dataclass
class Sources:
    """Two sources that publish until told to stop, each notificatie until it is answered with 201.

    One looks up the address for each request, and one only once the address that it has fails. by: which
    root accepted a number. unsure: numbers of which a request ended without an answer.
    """

    address: Address
    by: dict[int, str] = field(default_factory=dict)
    unsure: set[int] = field(default_factory=set)
    _last: int = 0
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, *, remembers: bool) -> None:
        headers = {"Authorization": token("open-zaak", secret="hidden-oz")}
        root = self.address.root
        async with aiohttp.ClientSession(headers=headers) as session:
            while not self._done.is_set():
                self._last += 1
                number = self._last
                while number not in self.by:
                    if not remembers:
                        root = self.address.root
                    try:
                        async with session.post(f"{root}/notificaties", json=numbered(number)) as answer:
                            if answer.status == 201:
                                self.by[number] = root
                    except aiohttp.ClientConnectorError:
                        root = self.address.root
                    except aiohttp.ClientError:
                        self.unsure.add(number)
                        root = self.address.root
                    await asyncio.sleep(PACE)

    async def more(self) -> None:
        """Return once some more were accepted by who has the address now."""
        root = self.address.root
        before = Counter(self.by.values())[root]
        await eventually(lambda: Counter(self.by.values())[root] >= before + SOME, within=60)

    def stop(self) -> None:
        self._done.set()


@asynccontextmanager
async def publishing(address: Address) -> AsyncIterator[Sources]:
    """Sources at work, until the end of the context."""
    sources = Sources(address)
    tasks = [asyncio.create_task(sources.run(remembers=each)) for each in (True, False)]
    try:
        yield sources
    finally:
        sources.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


def numbered(number: int) -> dict[str, Any]:
    return message(number, kenmerken={"bronorganisatie": "1", "zaaktype": "ab"[number % 2]})


def numbers_in(received: Sequence[Received]) -> Counter[int]:
    return Counter(int(orjson.loads(each.body)["hoofdObject"].rpartition("/")[2]) for each in received)


class Place:
    """A router, a deliverer and a keeper at work, and `nrc` beside them; a gateway starts and stops apart."""

    def __init__(self, settings: Settings, folder: Path, callback: CallbackServer) -> None:
        self.settings, self.folder, self.callback = settings, folder, callback
        self.gateway = AsyncExitStack()

    async def nrc(self, *command: str, codes: Container[int] = (0,)) -> Ran:
        env = {"NRC_AMQP_URL": self.settings.amqp_url[0], "NRC_CALLBACK_ALLOW_LOOPBACK": "true"}
        ran = await nrc_process(self.folder, *command, env=env)
        assert ran.code in codes, ran.out + ran.err
        return ran

    async def start_gateway(self) -> str:
        """Its root."""
        sock = free_socket()
        host, port = sock.getsockname()
        await self.gateway.enter_async_context(running(gateway.service.serve, self.settings, sock=sock))
        return f"http://{host}:{port}/api/v1"

    def got(self, path: str) -> Counter[int]:
        """How often each number was taken by the consumer with this callback."""
        return numbers_in(self.callback.at(path))

    async def waits(self) -> dict[str, int]:
        """What `nrc status` says that waits, by callback. Its code says that a gateway is missing."""
        found = (await self.nrc("status", "--json", codes=range(10))).json()["abonnementen"]
        return {each["callbackUrl"]: each["waiting"] + each["retrying"] + each["stuck"] for each in found}


@pytest.fixture
async def place(vhost: str, tmp_path: Path) -> AsyncIterator[Place]:
    # A callback in this process may be late on a busy machine, and an attempt that times out is made again.
    settings = settings_for(
        vhost, tmp_path, refresh_interval=30, callback_timeout=60, retry_schedule=",".join(["1"] * 30)
    )
    async with (
        registry_of(settings),
        ledger_of(settings),
        running(router.declaring.service.serve, settings, losses_of=LedgerLosses),
        CallbackServer() as callback,
        running(serve_deliverer, settings),
        running(serve_keeper, settings, limits=LIMITS),
    ):
        made = Place(settings, tmp_path, callback)
        async with made.gateway:
            yield made


@pytest.fixture
async def there(database_url: str) -> AsyncIterator[OpenNotificaties]:
    async with open_notificaties(database_url) as opened:
        yield opened


async def test_over_and_back_again(place: Place, there: OpenNotificaties) -> None:
    callback, away = place.callback, place.callback.url("/away")
    callback.script("/prompt", status(204))
    callback.script("/some", status(204))
    callback.script("/nobody", status(204))
    callback.script("/away", status(500))  # all the time
    zaken = await there.add_kanaal("zaken", "bronorganisatie", "zaaktype")
    await there.add_application("zac", "hidden-zac", "notificaties.consumeren")
    await there.add_application("open-zaak", "hidden-oz", heeft_alle_autorisaties=True)
    await there.add_abonnement(callback.url("/prompt"), (zaken, {}))
    await there.add_abonnement(callback.url("/some"), (zaken, {"zaaktype": "b"}))
    _, of_away = await there.add_abonnement(away, (zaken, {}))
    await there.add_abonnement(callback.url("/nobody"), (zaken, {}), client_id="")  # is not taken
    bring = ("import", "open-notificaties", "--database", there.url)
    old = AtWork(there)
    address = Address(old_root := await old.start_api())
    old.start_workers()
    try:
        async with publishing(address) as sources:
            await sources.more()
            step("nrc import open-notificaties --database … --without-deliveries")
            trial = await place.nrc(*bring, "--dry-run", codes=(4,))
            assert "it has no client_id" in trial.err
            await place.nrc(*bring, "--without-deliveries")

            step("**Stop Celery beat en daarna de workers** van Open Notificaties.")
            await old.stop_workers()
            await place.nrc(*bring, "--without-deliveries")
            step("**Zet het adres om** naar deze NRC.")
            address.root = new_root = await place.start_gateway()
            await sources.more()
            step("**Stop de API (en de admin) van Open Notificaties.**")
            await old.stop_api()
            step("**Neem over wat wacht:** `nrc import open-notificaties --database … --only-deliveries`")
            account = (await place.nrc(*bring, "--only-deliveries", OTHERS, "--json")).json()["deliveries"]
            waited = await _rows(there)
            of_nobody = waited[callback.url("/nobody")]
            assert account["found"] == sum(waited.values()) == account["taken"] + of_nobody
            assert waited[away] > 0 < of_nobody
            await sources.more()

            # And back.
            step("nrc import open-notificaties --database … --taken-as-sql > terug.sql")
            told = await place.nrc(*bring, "--taken-as-sql")
            assert (
                f"{account['taken']} of the {account['found']} deliveries that it has were taken" in told.err
            )
            await there.connection.execute(told.out)
            assert await _rows(there) == {callback.url("/nobody"): of_nobody}
            step("Start de API van Open Notificaties, nog zonder workers en beat.")
            again_root = await old.start_api()
            step("**Zet het adres terug.**")
            address.root = again_root
            await sources.more()
            step("Stop de **gateways** van deze NRC, en niets anders")
            await place.gateway.aclose()
            step("Start workers en beat van Open Notificaties.")
            old.start_workers()
            await sources.more()

        # What is still to be delivered here is told, and finished here once the consumer is back.
        ours = {number for number, root in sources.by.items() if root == new_root}
        theirs = sources.by.keys() - ours
        assert {sources.by[number] for number in theirs} == {old_root, again_root}
        left = {callback.url("/prompt"): 0, callback.url("/some"): 0, away: len(ours) + waited[away]}
        step("`nrc status` toont wat hier nog wacht, `nrc abonnement list` bij welke afnemer.")
        # What was accepted here though its source got no answer, and published it there, is more than that.
        more = {away: len(sources.unsure)}
        await eventually(lambda: _is(place, left, more=more), within=120)
        refused = len(callback.at("/away"))
        callback.script("/away", status(204))
        probed = await place.nrc("abonnement", "probe", str(of_away), codes=(0, 2))
        # Refused only where it was probed by itself meanwhile.
        assert probed.code == 0 or "is active, and only a held one is probed" in probed.err
        await eventually(lambda: _is(place, dict.fromkeys(left, 0)), within=120)
        await eventually(lambda: _none(there), within=120)
        assert not (await place.nrc("undeliverable", "list", "--json")).json()
    finally:
        await old.close()

    everyone = set(sources.by)
    assert place.got("/prompt").keys() == everyone
    assert place.got("/some").keys() == {each for each in everyone if each % 2}
    assert numbers_in(callback.at("/away")[refused:]).keys() == everyone
    assert theirs <= place.got("/nobody").keys() <= theirs | sources.unsure
    for path in ("/prompt", "/some", "/nobody"):
        twice = {number for number, count in place.got(path).items() if count > 1}
        assert twice <= sources.unsure


async def _rows(there: OpenNotificaties) -> dict[str, int]:
    """What it still has to deliver, by callback."""
    found = await there.connection.execute(
        "SELECT a.callback_url, count(*) FROM datamodel_schedulednotification s "
        "JOIN datamodel_abonnement a ON a.id = s.sub_id GROUP BY 1"
    )
    return dict(await found.fetchall())


async def _none(there: OpenNotificaties) -> bool:
    return not await _rows(there)


async def _is(place: Place, left: dict[str, int], *, more: Mapping[str, int] = MappingProxyType({})) -> bool:
    """Whether so much waits for each, or up to so much more."""
    waits = await place.waits()
    return waits.keys() == left.keys() and all(
        count <= waits[of] <= count + more.get(of, 0) for of, count in left.items()
    )
