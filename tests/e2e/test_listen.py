"""`nrc listen`: what arrives is printed and sent on, and nothing of it is left, however it ends.

And `nrc bench` against the same running system.
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nrc.demo import KANAAL, NOTIFICATIE
from nrc.rabbitmq.private_node import free_port
from tests.broker import Broker
from tests.callback_server import CallbackServer, status
from tests.command import nrc_process
from tests.e2e.running import NRC, Running, environment, running
from tests.eventually import eventually

LISTENING = "Ctrl-C ends it and removes the abonnement"


@dataclass
class System:
    """Everything that `nrc up` starts, with kanaal `zaken` and a publisher."""

    env: dict[str, str]
    folder: Path

    async def command(self, *arguments: str) -> str:
        ran = await nrc_process(self.folder, *arguments, env=self.env)
        assert ran.code == 0, ran.err
        return ran.out

    def listen(self, *arguments: str) -> AbstractAsyncContextManager[Running]:
        return running(*NRC, "listen", "--kanaal", "zaken", *arguments, env=self.env, cwd=self.folder)

    async def publish(self, **changed: Any) -> str:
        """The id of a notificatie that was accepted."""
        file = self.folder / "notificatie.json"
        file.write_text(json.dumps({**NOTIFICATIE, **changed}))
        return (await self.command("publish", "--ids", str(file))).strip()

    async def left(self) -> list[str]:
        """What stands that the publisher does not own: applications, abonnementen, their queues, locks."""
        applications = json.loads(await self.command("application", "list", "--json"))
        abonnementen = json.loads(await self.command("abonnement", "list", "--json"))
        queues = json.loads(await self.command("queues", "--json"))
        names = [each["clientId"] for each in applications] + [each["uuid"] for each in abonnementen]
        names += [
            each["name"] for each in queues if "abonnement" in each["name"] and "missing" not in str(each)
        ]
        return [each for each in names if each != "bron"] + [
            each.name for each in self.state.glob("nrc-*.lock")
        ]

    @property
    def state(self) -> Path:
        return Path(self.env["NRC_STATE_DIR"])


@pytest.fixture(scope="module")
async def system(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """One for all tests, each of which leaves nothing."""
    vhost = await broker.fresh_vhost()
    async with everything(vhost, tmp_path_factory.mktemp("listen")) as made:
        yield made
    await broker.remove_vhost(vhost)


@asynccontextmanager
async def everything(vhost: str, tmp_path: Path) -> AsyncIterator[System]:
    env = environment(
        NRC_AMQP_URL=vhost,
        NRC_STATE_DIR=str(tmp_path / "var"),
        NRC_GATEWAY_LISTEN=f"127.0.0.1:{free_port()}",
        NRC_RETRY_SCHEDULE="1",
        COLUMNS="200",
    )
    async with running(*NRC, "up", "--no-demo", env=env, cwd=tmp_path) as up:
        await up.says("NRC ready")
        made = System(env, tmp_path)
        await made.command("application", "add", "bron", "--scope", "publiceren")
        filters = [option for name in KANAAL["filters"] for option in ("--filter", name)]
        await made.command("kanaal", "add", KANAAL["naam"], *filters)
        yield made
        assert await up.stop() == 0
        assert "Traceback" not in up.err, up.err


def lines(run: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.out.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_what_arrives_is_printed_until_it_is_told_to_stop(
    system: System, number: signal.Signals
) -> None:
    kenmerken = {**NOTIFICATIE["kenmerken"], "bronorganisatie": "000000000"}
    async with system.listen("--filter", "bronorganisatie=224557609", "--json") as listening:
        await listening.logs(LISTENING)
        await system.publish(kenmerken=kenmerken)
        wanted = await system.publish(actie="met \u001b[31m kleur en <é>")
        await listening.says(wanted)
        assert await listening.stop(number, within=30) == 0
    [told] = lines(listening)
    assert told["webhookId"] == wanted
    assert told["attempt"] == 1
    assert told["notificatie"] == {**NOTIFICATIE, "actie": "met \u001b[31m kleur en <é>"}
    assert "forwarded" not in told
    assert not any(name.lower() == "authorization" for name in told["headers"])
    assert "\u001b" not in listening.out + listening.err
    assert "1 notificatie(s) came" in listening.err
    assert "Traceback" not in listening.err
    await eventually_nothing_is_left(system)


async def eventually_nothing_is_left(system: System) -> None:
    async def nothing() -> bool:
        return await system.left() == []

    await eventually(nothing)


async def test_for_people_it_is_lines(system: System) -> None:
    async with system.listen("--count", "1") as listening:
        await listening.logs(LISTENING)
        number = await system.publish()
        assert await listening.ends(within=30) == 0
    head, *below = listening.out.splitlines()
    assert head.endswith("  zaken · status · create")
    assert below == [
        f"  webhook-id {number}",
        f"  hoofdObject {NOTIFICATIE['hoofdObject']}",
        f"  resourceUrl {NOTIFICATIE['resourceUrl']}",
        *(f"  {name}={value}" for name, value in NOTIFICATIE["kenmerken"].items()),
    ]
    await eventually_nothing_is_left(system)


async def test_it_is_sent_on_as_it_came_and_what_fails_there_comes_again(system: System) -> None:
    async with CallbackServer() as local:
        local.script("/hook?a=b", status(503), status(200))
        async with system.listen(
            "--forward", local.url("/hook?a=b"), "--auth", "Token mijn", "--json", "--count", "2"
        ) as listening:
            await listening.logs(LISTENING)
            number = await system.publish()
            assert await listening.ends(within=30) == 0
        first, second = lines(listening)
        assert [each["webhookId"] for each in (first, second)] == [number, number]
        assert [each["attempt"] for each in (first, second)] == [1, 2]
        assert [each["forwarded"]["status"] for each in (first, second)] == [503, 200]
        for each in local.received:
            assert each.path == "/hook?a=b"
            assert json.loads(each.body) == NOTIFICATIE
            assert each.header("Authorization") == "Token mijn"
            assert each.header("Content-Type") == "application/json"
            assert each.header("webhook-id") == number
            assert each.header("nrc-abonnement")
        assert len(local.received) == 2, "the check of the callback is not sent on"


async def test_where_nobody_takes_it_that_is_told(system: System) -> None:
    to = f"http://127.0.0.1:{free_port()}/"
    async with system.listen("--forward", to, "--count", "1") as listening:
        await listening.logs(LISTENING)
        await system.publish()
        assert await listening.ends(within=30) == 0
    assert "→ no answer in " in listening.out
    assert listening.out.endswith("; it is tried again\n")


async def test_what_a_killed_one_left_the_next_one_removes(system: System) -> None:
    async with system.listen() as alive, system.listen() as killed:
        await alive.logs(LISTENING)
        await killed.logs(LISTENING)
        await killed.stop(signal.SIGKILL)
        assert len(json.loads(await system.command("abonnement", "list", "--json"))) == 2
        async with system.listen("--json") as third:
            await third.logs(LISTENING)
            assert third.err.count("removed what a killed `nrc listen` left: nrc-listen-") == 1
            number = await system.publish()
            await alive.says(number)
            await third.says(number)
            assert await third.stop(signal.SIGTERM, within=30) == 0
        assert await alive.stop(signal.SIGTERM, within=30) == 0
    await eventually_nothing_is_left(system)


async def test_when_nobody_reads_any_more_it_ends(system: System) -> None:
    command = " ".join(["exec", *NRC, "listen", "--kanaal", "zaken", "--json", "| head -1"])
    async with running("sh", "-c", command, env=system.env, cwd=system.folder) as piped:
        await piped.logs(LISTENING)
        first = await system.publish()
        await piped.says(first)
        await system.publish()
        await piped.logs("are removed", within=30)
        assert await piped.ends(within=30) == 0
    await eventually_nothing_is_left(system)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--kanaal", "zakken"], 1, "naam: Er bestaat geen kanaal 'zakken'."),
        (["--filter", "onbekend=1"], 1, "filters"),
        (["--filter", "zonder"], 2, "is no filter such as"),
        (["--filter", "a=1", "--filter", "a=2"], 2, "--filter: each name once"),
        (["--forward", "localhost:3000"], 2, "--forward: localhost:3000 is no http(s) URL with a host"),
        (["--auth", "a\nb"], 2, "--auth"),
        (["--listen", "9000"], 2, "is no host:port"),
        (["--listen", "192.0.2.1:9000"], 2, "--listen: 192.0.2.1:9000: "),
        (["--url", "http://127.0.0.1:1"], 3, "no gateway at http://127.0.0.1:1"),
        (["--url", "gateway"], 2, "--url: gateway is no http(s) URL"),
    ],
)
async def test_what_cannot_be_says_why_and_leaves_nothing(
    system: System, arguments: Sequence[str], code: int, said: str
) -> None:
    ran = await nrc_process(system.folder, "listen", "--kanaal", "zaken", *arguments, env=system.env)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    await eventually_nothing_is_left(system)


async def test_a_load_on_what_runs_is_delivered_whole(system: System) -> None:
    """`nrc bench` as any two clients, by the standard's API alone."""
    secrets = {}
    for client, scope in (("PUBLISHER", "publiceren"), ("CONSUMER", "consumeren")):
        added = await system.command("application", "add", f"bench-{scope}", "--scope", scope, "--json")
        secrets[f"BENCH_{client}_SECRET"] = json.loads(added)["secret"]
    to = f"http://{system.env['NRC_GATEWAY_LISTEN']}/api/v1/"
    who = ("--publisher", "bench-publiceren", "--consumer", "bench-consumeren")
    ran = await nrc_process(
        system.folder, "bench", "--against", to, *who, "--count", "60", "--abonnementen", "3", "--json",
        env=system.env | secrets,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    told = ran.json()
    assert told["answers"] == {"201": 60}
    assert (told["accepted"], told["expected"], told["delivered"]) == (60, 180, 180)
    assert (told["missing"], told["twice"], told["notAccepted"]) == (0, 0, 0)
    swapped = ("--publisher", "bench-consumeren", "--consumer", "bench-publiceren")
    swapped_secrets = dict(zip(secrets, reversed(secrets.values()), strict=True))
    ran = await nrc_process(
        system.folder, "bench", "--against", to, *swapped, env=system.env | swapped_secrets
    )
    assert ran.code == 1
    assert "may it notificaties." in ran.err
    for scope in ("publiceren", "consumeren"):
        await system.command("application", "remove", f"bench-{scope}", "--yes")
    await eventually_nothing_is_left(system)
