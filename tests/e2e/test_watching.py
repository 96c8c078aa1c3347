"""What operators watch a running system by: Prometheus, `nrc status`, `nrc tail`, and traces.

And that the page, the rules and the dashboard name what is told.
"""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from nrc.rabbitmq.private_node import free_port
from schemas.abonnement import Abonnement, State
from store.opening import open_registry
from tests.callback_server import CallbackServer, status
from tests.contract.api import message
from tests.e2e.running import NRC, Running, environment, nrc, running
from tests.eventually import eventually
from tests.make import a_kanaal, an_abonnement
from tools.dashboard import dashboard

ROOT = Path(__file__).parents[2]
PROCESSES = ("router", "gateway", "deliverer", "ledger", "inbox", "console", "alerts")


@dataclass(frozen=True)
class Sample:
    """One number, with its labels."""

    name: str
    labels: Mapping[str, str]
    value: float


class Metrics:
    """What all processes told at one moment."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples = list(samples)

    def value(self, name: str, **labels: str) -> float:
        """That of the one sample with this name and these labels."""
        (found,) = self.of(name, **labels)
        return found.value

    def of(self, name: str, **labels: str) -> list[Sample]:
        """The samples with this name and these labels."""
        wanted = labels.items()
        return [each for each in self.samples if each.name == name and wanted <= each.labels.items()]


@dataclass
class System:
    """`nrc up` with metrics, two callbacks and their abonnementen."""

    up: Running
    env: Mapping[str, str]
    folder: Path
    api: str
    authorization: dict[str, str]
    callback: CallbackServer
    well: Abonnement
    failing: Abonnement

    def address(self, process: str) -> str:
        """The URL at which a process says that it serves its metrics."""
        found = re.search(rf"metrics are served .*process={process} .*url=(\S+)", self.up.err)
        assert found, self.up.err
        return found[1]

    async def status(self, **settings: str) -> tuple[int, dict[str, Any]]:
        """The exit code of `nrc status --json` with these settings, and what it says."""
        ran = await nrc("status", "--json", env={**self.env, **settings}, cwd=self.folder)
        return ran.process.returncode or 0, json.loads(ran.out)

    async def metrics(self, path: str = "") -> Metrics:
        """Those of all processes now."""
        async with aiohttp.ClientSession() as session:
            found = []
            for process in PROCESSES:
                async with session.get(self.address(process) + path) as answer:
                    assert answer.status == 200, await answer.text()
                    text = await answer.text()
                for family in text_string_to_metric_families(text):
                    found += [Sample(each.name, each.labels, each.value) for each in family.samples]
        return Metrics(found)

    async def publish(self, headers: Mapping[str, str]) -> int:
        """The status of a notificatie that is posted with these headers."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.api}/notificaties", json=message("zaken"), headers=headers) as answer,
        ):
            return answer.status


@asynccontextmanager
async def system(vhost: str, folder: Path, **settings: str) -> AsyncIterator[System]:
    """Everything, on this virtual host, with its registry in this folder, and these settings."""
    own = {
        "NRC_AMQP_URL": vhost,
        "NRC_STATE_DIR": ".",
        "NRC_GATEWAY_LISTEN": "127.0.0.1:0",
        "NRC_CONSOLE_LISTEN": "127.0.0.1:0",
        "NRC_INBOX_LISTEN": "127.0.0.1:0",
        "NRC_METRICS_LISTEN": "127.0.0.1:0",
        "NRC_RETRY_SCHEDULE": "3600",
        # Asked of nothing, but told of.
        "NRC_AC_URL": "http://127.0.0.1:9/autorisaties/api/v1",
        "NRC_AC_CLIENT_ID": "nrc",
        "NRC_AC_SECRET": "geheim",
    }
    env = environment(**{**own, **settings})
    async with CallbackServer() as callback:
        callback.script("/failing", status(500))
        well = an_abonnement(("zaken", {}), callback=callback.url("/well"))
        failing = an_abonnement(("zaken", {}), callback=callback.url("/failing"))
        away = replace(an_abonnement(("zaken", {}), callback=callback.url("/away")), state=State.SUSPENDED)
        async with open_registry(folder / "registry.db") as registry:
            await registry.add_kanaal(a_kanaal("zaken"))
            for each in (well, failing, away):
                await registry.add_abonnement(each)
            await registry.set_state(away.uuid, State.SUSPENDED, "by a test")
        await nrc("application", "add", "bron", "--scope", "publiceren", env=env, cwd=folder)
        name, _, token = (await nrc("token", "bron", env=env, cwd=folder)).out.strip().partition(": ")
        async with running(*NRC, "up", "--no-demo", env=env, cwd=folder) as up:
            await up.says("NRC ready")
            api = re.search(r"NRC ready: (\S+)", up.out)
            assert api
            del env["NRC_GATEWAY_LISTEN"]  # commands find where it is
            yield System(up, env, folder, api[1], {name: token}, callback, well, failing)
            assert await up.stop() == 0
            assert "Traceback" not in up.err, up.err


async def test_what_happens_is_counted_by_the_process_that_does_it(vhost: str, tmp_path: Path) -> None:
    async with system(vhost, tmp_path) as running_system:
        assert await running_system.publish({}) == 403
        assert [await running_system.publish(running_system.authorization) for _ in range(2)] == [201, 201]
        # The ledger has the outcomes a moment after the callbacks answered.
        await eventually(lambda: all_is_settled(running_system), within=30)
        await pages_are_asked_for(running_system)
        now = await running_system.metrics()
        what_was_counted(now)
        what_the_pages_counted(now)
        await of_each_abonnement(running_system)
        pages_and_rules_name_what_there_is(now, await running_system.metrics("/abonnementen"))


async def all_is_settled(running_system: System) -> bool:
    now = await running_system.metrics()
    return now.value("nrc_retrying", state="active") == 2 and now.value("nrc_waiting", state="active") == 0


async def pages_are_asked_for(running_system: System) -> None:
    """One login that fails, one that does not, one page; an inbox with two requests."""
    out = running_system.up.out
    console = found_in(r"Console +(\S+)", out)
    password = found_in(r"admin, with password (\S+)", out)
    headers = {"Origin": console.removesuffix("/console/")}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), headers=headers) as session:
        for given, expected in (("wrong", 401), (password, 200)):
            form = {"naam": "admin", "wachtwoord": given}
            async with session.post(f"{console}inloggen/", data=form) as answer:
                assert answer.status == expected
        async with session.get(f"{console}geen-pagina/") as answer:
            assert answer.status == 404
        made = await session.post(found_in(r"Inbox +(\S+)", out))
        address = (await made.json())["callbackUrl"]
        authorization = {"Authorization": "Token any"}
        for given_too, expected in (({}, 401), (authorization, 204)):
            async with session.post(address, data="{}", headers=given_too) as answer:
                assert answer.status == expected


def found_in(pattern: str, text: str) -> str:
    """What the group of this pattern matches."""
    found = re.search(pattern, text)
    assert found, text
    return found[1]


def what_the_pages_counted(now: Metrics) -> None:
    assert [now.value("nrc_console_logins_total", outcome=each) for each in ("succeeded", "failed")] == [1, 1]
    assert now.value("nrc_console_requests_total", page="inloggen", status="401") == 1
    assert now.value("nrc_console_requests_total", page="overzicht", status="200") == 1
    assert now.value("nrc_console_requests_total", page="other", status="404") == 1
    assert now.value("nrc_console_sessions") == 1
    assert now.value("nrc_console_streams") == 0
    assert now.value("nrc_inbox_addresses") == 1
    assert now.value("nrc_inbox_held_bytes") > 0
    assert [now.value("nrc_inbox_requests_total", status=each) for each in ("204", "401")] == [1, 1]


def what_was_counted(now: Metrics) -> None:
    assert {now.value("nrc_ready", process=process) for process in PROCESSES} == {1}
    assert {each.value for each in now.of("nrc_rabbitmq_connected")} == {1}
    assert now.value("nrc_accepted_total", homes="both") == 2
    assert now.value("nrc_refused_total", request="notificaties", status="403") == 1
    assert now.value("nrc_refused_total", request="notificaties", status="503") == 0, "told from the start"
    assert now.value("nrc_confirm_seconds_count") == 2
    assert now.value("nrc_attempts_total") == 4
    assert now.value("nrc_delivered_total") == 2
    assert now.value("nrc_failed_attempts_total", **{"class": "http_status"}) == 2
    assert now.value("nrc_delivery_seconds_count") == 2
    assert now.value("nrc_callback_seconds_count") == 4
    assert now.value("nrc_deliverer_queues") == 2
    assert now.value("nrc_keeper_works") == 1
    assert [now.value("nrc_abonnementen", state=state) for state in ("active", "suspended")] == [2, 1]
    assert [now.value("nrc_waiting", state=state) for state in ("active", "suspended")] == [0, 2]
    assert now.value("nrc_oldest_waiting_seconds", state="suspended") > 0
    assert now.value("nrc_oldest_waiting_seconds", state="held") == 0
    assert now.value("nrc_disk_free_bytes") > 0
    assert now.value("nrc_deliverers") == 1


async def of_each_abonnement(running_system: System) -> None:
    each = await running_system.metrics("/abonnementen")
    well, failing = str(running_system.well.uuid), str(running_system.failing.uuid)
    assert each.value("nrc_abonnement_delivered_total", abonnement=well) == 2
    assert not each.of("nrc_abonnement_failed_total", abonnement=well)
    assert each.value("nrc_abonnement_failed_total", abonnement=failing) == 2
    assert each.value("nrc_abonnement_retrying", abonnement=failing) == 2
    assert each.value("nrc_abonnement_oldest_seconds", abonnement=failing) > 0
    assert each.value("nrc_abonnement_info", abonnement=well, state="active") == 1


def pages_and_rules_name_what_there_is(overview: Metrics, detail: Metrics) -> None:
    there = Metrics([*overview.samples, *detail.samples])
    told = {each.name for each in there.samples}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in told if name.startswith("nrc_")}
    page = (ROOT / "docs" / "metrics.md").read_text()
    named = set(re.findall(r"^\| `(nrc_\w+)` \|", page, re.MULTILINE))
    assert named == families | {"nrc_client_certificate_ends_timestamp_seconds"}  # there is none here
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    queries = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    queries += [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    for query in queries:
        named = re.findall(r"\b((?:nrc|process)_\w+)(?:\{(.*?)\})?", query)
        assert named, query
        for name, matchers in named:
            assert name in told, query
            for label, how, value in re.findall(r'(\w+)(=|=~|!=|!~)"(.*?)"', matchers):
                assert any(label in each.labels for each in there.of(name)), (label, query)
                assert how != "=" or there.of(name, **{label: value}), (value, query)
        grouped = re.findall(r"\b(?:by|on|group_left) \((.*?)\)", query)
        labels = {label for each in there.samples for label in each.labels} | {"job", "instance"}
        assert {label for each in grouped for label in each.split(", ")} <= labels, query


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody has."""
    while True:
        first = free_port()
        with suppress(OSError), ExitStack() as bound:
            for port in range(first, first + count):
                bound.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


async def test_each_process_has_the_port_that_follows_from_the_setting(vhost: str, tmp_path: Path) -> None:
    in_order = ("alerts", "inbox", "console", "router", "ledger", "gateway", "deliverer")
    first = free_ports(len(in_order))
    of = dict(zip(in_order, range(first, first + len(in_order)), strict=True))
    async with system(vhost, tmp_path, NRC_METRICS_LISTEN=f"127.0.0.1:{of['router']}") as running_system:
        assert {name: running_system.address(name) for name in of} == {
            name: f"http://127.0.0.1:{port}/metrics" for name, port in of.items()
        }
        line = ", ".join(f"{name} 127.0.0.1:{of[name]}" for name in PROCESSES)
        assert f"  Metrics     {line}\n" in running_system.up.out
        ready = {
            each.labels["process"]: each.value for each in (await running_system.metrics()).of("nrc_ready")
        }
        assert ready == dict.fromkeys(of, 1)


async def test_on_one_screen_how_it_is_and_line_by_line_what_happens(vhost: str, tmp_path: Path) -> None:
    async with system(vhost, tmp_path) as running_system:
        code, told = await running_system.status()
        assert (code, told["attention"]) == (0, [])
        assert all(part["ok"] for part in told["parts"].values())
        await what_happens_is_told_as_it_happens(running_system)
        await eventually(lambda: all_is_settled(running_system), within=30)
        code, told = await running_system.status()
        assert code == 0, told["attention"]
        assert told["counts"]["5"] == told["counts"]["60"]
        assert {name: told["counts"]["60"][name] for name in ("accepted", "delivered", "failed")} == {
            "accepted": 2,
            "delivered": 2,
            "failed": 2,
        }
        (suspended,) = told["attention"]
        assert (suspended["code"], suspended["urgent"]) == ("suspended", False)
        assert "by a test); 2 notificaties wait" in suspended["text"]
        assert re.fullmatch(r"nrc abonnement resume [0-9a-f]{8}", suspended["next"])
        # Elsewhere no gateway answers.
        code, told = await running_system.status(NRC_GATEWAY_LISTEN="127.0.0.1:9")
        assert code == 3
        assert [each["code"] for each in told["attention"] if each["urgent"]] == ["gateway_away"]


async def what_happens_is_told_as_it_happens(running_system: System) -> None:
    well, failing = str(running_system.well.uuid), str(running_system.failing.uuid)
    env, folder = running_system.env, running_system.folder
    await running_system.publish(running_system.authorization)
    async with running(*NRC, "tail", "--json", "--after", "1m", env=dict(env), cwd=folder) as tail:

        def told(event: str, **facts: object) -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in tail.out.splitlines()]
            return [each for each in lines if each["event"] == event and facts.items() <= each.items()]

        await eventually(lambda: told("accepted"), within=30)
        await running_system.publish(running_system.authorization)
        await eventually(
            lambda: (
                len(told("outcome", abonnement=well)) == 2 and len(told("outcome", abonnement=failing)) == 2
            ),
            within=30,
        )
        assert await tail.stop(signal.SIGINT) == 0
        assert tail.err == ""
        assert [each["abonnementen"] for each in told("accepted")] == [3, 3]
        assert {(each["state"], each["status"]) for each in told("outcome", abonnement=well)} == {
            ("delivered", 204)
        }
        for each in told("outcome", abonnement=failing):
            assert (each["state"], each["failure"]["status"]) == ("retrying", 500)


TRACE = "0af7651916cd43dd8448eb211c80319c"


def spans_at(collector: CallbackServer) -> dict[str, set[str]]:
    """The names of the spans of TRACE that a collector got, by the service that they are of."""
    found: dict[str, set[str]] = {}
    for received in collector.at("/v1/traces"):
        for of in ExportTraceServiceRequest.FromString(received.body).resource_spans:
            (service,) = [
                each.value.string_value for each in of.resource.attributes if each.key == "service.name"
            ]
            names = [
                span.name for scope in of.scope_spans for span in scope.spans if span.trace_id.hex() == TRACE
            ]
            found.setdefault(service, set()).update(names)
    return found


async def test_spans_of_all_processes_go_to_one_collector(vhost: str, tmp_path: Path) -> None:
    async with CallbackServer() as collector:
        collector.script("/v1/traces", status(200))
        traces = {
            "NRC_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url(""),
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        async with system(vhost, tmp_path, **traces) as running_system:
            headers = {**running_system.authorization, "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
            assert await running_system.publish(headers) == 201
            await eventually(lambda: len(spans_at(collector)) == 2, within=30)
            (received,) = await eventually(lambda: running_system.callback.at("/well"), within=30)
            assert (received.header("traceparent") or "").startswith(f"00-{TRACE}-")
        # What was not sent yet is sent when they stop.
        assert spans_at(collector) == {
            "nrc-gateway": {"POST /api/v1/notificaties", "send nrc.kanaal.zaken"},
            "nrc-deliverer": {"process nrc.abonnement.{uuid}", "POST"},
        }


async def test_a_collector_that_is_away_keeps_nothing_from_working_or_stopping(
    vhost: str, tmp_path: Path
) -> None:
    away = {"NRC_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with system(vhost, tmp_path, **away) as running_system:
        assert await running_system.publish(running_system.authorization) == 201
        await eventually(lambda: running_system.callback.at("/well"), within=30)
    assert "did not stop in time" not in running_system.up.err
