"""`nrc apply` beside a running router and gateway, on both stores: from nothing to nothing again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import aiohttp
import pytest

import gateway.service
import router.declaring.service
from ledger.losses import LedgerLosses
from ledger.opening import ledger_of
from nrc.setup.model import NAMES
from router import names
from router.queue_depth import depth_of
from runtime.settings import Settings
from schemas.delivery_options import DeliveryOptions
from store.opening import registry_of
from tests.callback_server import status
from tests.command import Ran, nrc_process
from tests.contract.api import Callback, free_socket
from tests.eventually import eventually
from tests.integration.conftest import open_link, running, settings_for
from tests.make import a_kanaal
from tests.tokens import token

pytestmark = pytest.mark.usefixtures("broker")

FILE = """\
kanalen:
  - {naam: zaken, filters: [bronorganisatie, zaaktype]}
applications:
  - {clientId: open-zaak, secret: kaaz-nepo, scopes: [publiceren]}
  - {clientId: zac, secret: caz, scopes: [consumeren]}
abonnementen:
  - name: zac
    clientId: zac
    callbackUrl: CALLBACK/zac
    auth: {value_from: {env: ZAC_AUTH}}
    kanalen:
      - {naam: zaken, filters: {bronorganisatie: "1"}}
"""
ZAC = uuid5(NAMES, "zac")
MESSAGE = {
    "kanaal": "zaken",
    "hoofdObject": "http://zaken.nl/1",
    "resource": "zaak",
    "resourceUrl": "http://zaken.nl/1",
    "actie": "create",
    "aanmaakdatum": "2026-01-31T12:00:00Z",
}


class System:
    """A router and a gateway, the callback of zac, and `nrc apply` there."""

    def __init__(self, settings: Settings, folder: Path, root: str, callback: Callback) -> None:
        self.settings, self.folder, self._root, self.callback = settings, folder, root, callback

    async def apply(self, text: str, *options: str, auth: str = "Token zac", **more: str) -> Ran:
        (self.folder / "setup.yaml").write_text(text.replace("CALLBACK", self.callback.url("")))
        env = {
            "NRC_AMQP_URL": self.settings.amqp_url[0],
            "NRC_CALLBACK_ALLOW_LOOPBACK": "true",
            "ZAC_AUTH": auth,
            **more,
        }
        if self.settings.on_postgresql:
            env["NRC_DATABASE_URL"] = self.settings.database_url
        ran = await nrc_process(self.folder, "apply", "setup.yaml", *options, env=env)
        assert "Token" not in ran.out + ran.err
        return ran

    async def publish(self, **kenmerken: str) -> tuple[int, str | None]:
        """(status, nrc-matched) of a notificatie by open-zaak, with the secret of the file."""
        headers = {"Authorization": token("open-zaak")}
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self._root}/api/v1/notificaties",
                json={**MESSAGE, "kenmerken": {"zaaktype": "a", **kenmerken}},
                headers=headers,
            ) as answer,
        ):
            return answer.status, answer.headers.get("nrc-matched")

    async def in_queue(self) -> int | None:
        async with open_link(self.settings.amqp_url[0]) as link:
            assert link.connection is not None
            found = await depth_of(link.connection, names.abonnement_queue(ZAC))
        return None if found is None else found.messages

    async def waiting(self) -> int:
        async with ledger_of(self.settings) as ledger:
            backlog = (await ledger.backlogs()).get(ZAC)
        return backlog.count if backlog else 0


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a store."""
    if request.param == "sqlite":
        return {}
    return {"database_url": request.getfixturevalue("database_url")}


@pytest.fixture
async def system(store: dict[str, Any], vhost: str, tmp_path: Path) -> AsyncIterator[System]:
    settings = settings_for(vhost, tmp_path, refresh_interval=30, callback_check="off", **store)
    sock = free_socket()
    host, port = sock.getsockname()
    async with (
        registry_of(settings),
        running(router.declaring.service.serve, settings, losses_of=LedgerLosses),
        running(gateway.service.serve, settings, sock=sock),
        Callback() as callback,
    ):
        callback.script("/zac", callback.answer)
        callback.script("/other", callback.answer)
        yield System(settings, tmp_path, f"http://{host}:{port}", callback)


async def test_a_life_by_setup_files(system: System) -> None:
    assert (await system.apply(FILE, "--dry-run")).code == 4
    ran = await system.apply(FILE)
    assert (ran.code, ran.out.splitlines()[-4:]) == (
        0,
        [
            "kanaal zaken added",
            "application open-zaak added",
            "application zac added",
            "abonnement zac added",
        ],
    ), ran.err
    # As for one that is made through the API: without auth it must be refused, with auth be taken.
    assert system.callback.auths == [None, "Token zac"]
    assert await system.in_queue() == 0

    # The running gateway knows the application, its secret and its scopes, and the abonnement.
    assert await system.publish(bronorganisatie="1") == (201, "1")
    assert await system.publish(bronorganisatie="2") == (201, "0")
    again = await system.apply(FILE)
    assert (again.code, again.out) == (0, "")

    # Another auth and other filters: the callback is checked again.
    text = FILE.replace('bronorganisatie: "1"', 'bronorganisatie: "2"')
    assert (await system.apply(text, auth="Token other")).code == 0
    assert system.callback.auths[2:] == [None, "Token other"]
    assert await system.publish(bronorganisatie="2") == (201, "1")
    assert await system.publish(bronorganisatie="1") == (201, "0")

    # A callback that does not pass changes nothing; the rest is done, and the next time the whole.
    system.callback.script("/other", status(200))
    text = text.replace("/zac", "/other").replace("[bronorganisatie, zaaktype]", "[bronorganisatie]")
    failed = await system.apply(text, auth="Token other")
    assert failed.code == 1
    assert "abonnement zac not changed: callbackUrl: De callback antwoordt 200" in failed.err
    assert "kanaal zaken changed" in failed.out
    system.callback.script("/other", system.callback.answer)
    finished = await system.apply(text, auth="Token other")
    assert (finished.code, finished.out.splitlines()[-1]) == (0, "abonnement zac changed")

    # What is not in the file goes, but not with what waits for it without a word.
    await eventually(lambda: _is(system.waiting(), 2), within=60)
    bare = text[: text.index("abonnementen:")] + "abonnementen: []\n"
    assert (await system.apply(bare)).code == 0
    refused = await system.apply(bare, "--prune", auth="Token other")
    assert refused.code == 2
    assert "nrc: 2 notificaties wait for abonnementen that --prune would remove" in refused.err
    assert await system.in_queue() is not None
    pruned = await system.apply(bare, "--prune", "--keep-waiting")
    assert pruned.code == 0, pruned.err
    assert "2 notificatie(s) that waited are undeliverable" in pruned.err
    assert await system.in_queue() is None
    gone = await system.apply("kanalen: []\napplications: []\nabonnementen: []\n", "--prune", "--json")
    assert [(each["action"], each["result"]) for each in gone.json()["changes"]] == [("remove", "done")] * 3
    async with registry_of(system.settings) as registry:
        left = await registry.changes_since(0)
    assert (left.kanalen, left.applications, left.abonnementen) == ((), (), ())

    # The same name again has the same UUID, and a queue.
    assert (await system.apply(FILE)).code == 0
    assert await system.in_queue() == 0
    assert await system.publish(bronorganisatie="1") == (201, "1")


async def test_a_file_of_open_notificaties(system: System) -> None:
    uuid = UUID("0f616bfd-aacc-4d85-a140-2af17a56217b")
    text = f"""\
vng_api_common_credentials_config_enable: true
vng_api_common_credentials: {{items: [{{identifier: open-zaak, secret: kaaz-nepo}}]}}
notifications_kanalen_config_enable: true
notifications_kanalen_config: {{items: [{{naam: zaken, documentatie_link: '', filters: []}}]}}
notifications_abonnementen_config_enable: true
notifications_abonnementen_config:
  items:
    - uuid: {uuid}
      callback_url: CALLBACK/zac
      auth_type: api_key
      auth: {{value_from: {{env: ZAC_AUTH}}}}
      auth_client_id: open-zaak
      kanalen: [{{naam: zaken, filters: {{}}}}]
"""
    async with registry_of(system.settings) as registry:
        await registry.add_kanaal(a_kanaal("zaken"))
    ran = await system.apply(text, "--scope", "publiceren")
    assert ran.code == 0, ran.err
    async with registry_of(system.settings) as registry:
        (abonnement,) = (await registry.changes_since(0)).abonnementen
    assert (abonnement.uuid, abonnement.auth, abonnement.client_id) == (uuid, "Token zac", "open-zaak")
    assert await system.publish() == (201, "1")
    assert (await system.apply(text)).out == ""

    # Its other types, each tried by the callback, and the same again changes nothing.
    system.callback.script("/token", status(200, body=b'{"access_token": "one", "expires_in": 600}'))
    api_key = "auth_type: api_key\n      auth: {value_from: {env: ZAC_AUTH}}"
    client = "\n      secret: hidden-secret"
    oauth2 = f"auth_type: oauth2_client_credentials{client}\n      oauth2_token_url: CALLBACK/token"
    for other, begins in ((oauth2, "Bearer one"), (f"auth_type: zgw{client}", "Bearer ey")):
        ran = await system.apply(text.replace(api_key, other))
        assert ran.code == 0, ran.err
        assert "hidden-secret" not in ran.out + ran.err
        assert str(system.callback.auths[-1]).startswith(begins)
        assert (await system.apply(text.replace(api_key, other))).out == ""
    refused = await system.apply(text.replace(api_key, "auth_type: no_auth"))
    assert (refused.code, "status 401" in refused.err) == (1, True), refused.err

    # In a file of our own {} removes it, and what is left out stays.
    own = f"""\
abonnementen:
  - {{uuid: {uuid}, clientId: open-zaak, callbackUrl: CALLBACK/zac, kanalen: [{{naam: zaken}}]}}
"""
    assert (await system.apply(own)).out == ""
    ran = await system.apply(own.replace("kanalen", "callbackAuth: {}, kanalen"))
    assert ran.code == 0, ran.err
    assert system.callback.auths[-1] == "Token zac"
    header = "callbackAuth: {noAuth: true, header: {name: X-Key, value: hidden-key}}, kanalen"
    ran = await system.apply(own.replace("kanalen", header))
    assert (ran.code, "status 401" in ran.err, "hidden-key" in ran.err) == (1, True, False), ran.err
    async with registry_of(system.settings) as registry:
        (abonnement,) = (await registry.changes_since(0)).abonnementen
    assert (abonnement.auth, abonnement.callback_auth) == ("Token zac", None)

    # So do options, for which no callback is tried.
    tried = len(system.callback.auths)
    ran = await system.apply(own.replace("kanalen", "options: {rate: 0.5, concurrency: 2}, kanalen"))
    assert (ran.code, 'options: none → {"rate":0.5,"concurrency":2}' in ran.out) == (0, True), ran.out
    assert (await system.apply(own)).out == ""
    async with registry_of(system.settings) as registry:
        (abonnement,) = (await registry.changes_since(0)).abonnementen
    assert abonnement.options == DeliveryOptions(rate=0.5, concurrency=2)
    assert (await system.apply(own.replace("kanalen", "options: {}, kanalen"))).code == 0
    refused = await system.apply(own.replace("kanalen", "options: {rate: much}, kanalen"))
    assert (refused.code, "0,01" in refused.err) == (2, True), refused.err
    assert len(system.callback.auths) == tried


@pytest.mark.parametrize("store", [{}])
async def test_the_whole_example_of_the_page(system: System) -> None:
    """The example of docs/setup-file.md, with a callback that is there."""
    page = Path(__file__).parents[3] / "docs" / "setup-file.md"
    example = page.read_text().partition("```yaml\n")[2].partition("```")[0]
    (tmp := system.folder / "secrets").mkdir()
    (tmp / "zac").write_text("of-a-file\n")
    more = {
        name: f"a value of {name}"
        for name in ("OPEN_ZAAK_SECRET", "JAN_PASSWORD", "CHAT_AUTHORIZATION", "MAIL_PASSWORD")
    }
    text = example.replace("https://zac.example.nl/notificaties", "CALLBACK/zac")
    ran = await system.apply(text, "--json", **more)
    assert (ran.code, ran.json()["failed"], ran.json()["unchanged"]) == (0, 0, 0), ran.err
    again = await system.apply(text, **more)
    assert (again.code, again.out) == (0, "")


async def _is(asked: Any, expected: int) -> bool:
    return bool(await asked == expected)
