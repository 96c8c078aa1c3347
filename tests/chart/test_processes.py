"""Each container of the rendered chart, started here: it is healthy, and together they do the main job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ledger.opening import ledger_of
from nrc.rabbitmq.private_node import free_port
from runtime.settings import Settings
from schemas.errors import UsageError
from tests.chart.helm import Object, needs_helm, rendered, values_of, with_values
from tests.chart.pods import Pod, Secrets, namespaces
from tests.e2e.running import Running
from tests.eventually import eventually

pytestmark = [
    needs_helm,
    pytest.mark.skipif(
        not namespaces(), reason="mounts of a process's own are not allowed here: no read-only root"
    ),
]

VALUES = values_of("existing-secrets")
KEYS = "Tm90IGEgc2VjcmV0OiB0aGlzIGlzIGluIGEgdGVzdCE="
HERE = {"listenAddress": "127.0.0.1", "settings__NRC_CALLBACK_ALLOW_NETWORKS": "127.0.0.0/8"}
"""The pods share one address here, and callbacks are on it."""


def ports() -> dict[str, Any]:
    return {"ports": {name: free_port() for name in ("gateway", "console", "health", "metrics")}}


def pod_template(values: dict[str, Any], component: str) -> Object:
    """The pod of that Deployment or Job, of a rendering with ports of its own."""
    for each in rendered(with_values(values, **HERE, **ports())):
        if each["kind"] in ("Deployment", "Job") and each["metadata"]["name"] == f"nrc-{component}":
            found: Object = each["spec"]["template"]
            return found
    raise AssertionError(component)


def secrets_of(database: str, rabbitmq: str = "amqp://127.0.0.1:1/") -> Secrets:
    """What stands in the Secrets of VALUES."""
    return {
        ("nrc-db-app", "uri"): database,
        ("rabbitmq-nrc", "amqp-url"): rabbitmq,
        ("nrc-keys", "secret-keys"): KEYS,
    }


async def answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def test_the_containers_do_the_main_job_together(vhost: str, database_url: str, tmp_path: Path) -> None:
    try:
        ledger_of(Settings(database_url=database_url, _env_file=None))  # type: ignore[call-arg]
    except UsageError as error:
        pytest.skip(str(error))
    hook = Pod(pod_template(VALUES, "migrate"), tmp_path, secrets=secrets_of(database_url))
    async with hook.start() as run:
        assert await run.ends(within=60) == 0, run.err
    await do_the_main_job(secrets_of(database_url, vhost), tmp_path)


async def test_so_do_they_on_a_file_that_they_share(vhost: str, tmp_path: Path) -> None:
    """No cluster has that: it shows all the rest where there is no PostgreSQL."""
    secrets = secrets_of("sqlite:////var/lib/nrc/registry.db", vhost)
    await do_the_main_job(secrets, tmp_path, shared={"state": tmp_path / "state"})


async def do_the_main_job(
    secrets: Secrets, folder: Path, *, shared: Mapping[str, Path] | None = None
) -> None:
    """Every container is healthy, `nrc demo` in one of them succeeds, and all of them end in time."""
    names = ("router", "gateway", "deliverer", "ledger", "alerts", "console", "deliverer")
    pods = [
        Pod(pod_template(VALUES, name), folder / str(number), secrets=secrets, shared=shared)
        for number, name in enumerate(names)
    ]
    async with AsyncExitStack() as opened:
        started: list[Running] = [await opened.enter_async_context(pod.start()) for pod in pods]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            for pod, run in zip(pods, started, strict=True):
                url = pod.url_of(probe)
                try:
                    await eventually(lambda url=url: answers(url), within=60)
                except AssertionError:
                    raise AssertionError(f"{pod.name}: {probe}\n{run.out}\n{run.err}") from None
        for pod in pods:
            if pod.name not in ("alerts", "console"):
                assert await answers(f"http://127.0.0.1:{pod.port('metrics')}/metrics")
        await apply_a_setup_file(secrets, folder, shared)
        gateway = pods[names.index("gateway")]
        async with gateway.exec("demo") as demo:
            assert await demo.ends(within=60) == 0, demo.out + demo.err
            assert "callback received it" in demo.out
        for pod, run in zip(pods, started, strict=True):
            assert json.loads(run.err.splitlines()[0]), "logs are JSON in a container"
            assert await run.stop(within=pod.grace) == 0, run.err


async def apply_a_setup_file(secrets: Secrets, folder: Path, shared: Mapping[str, Path] | None) -> None:
    """The Job does what the file says, as the ConfigMap of the chart has it."""
    text = (
        "applications: [{clientId: zac, secret: {value_from: {env: ZAC_SECRET}}}]\nkanalen: [{naam: setup}]\n"
    )
    env = [{"name": "ZAC_SECRET", "value": "secret of a test"}]
    values = with_values(VALUES, setup={"enabled": True, "file": text, "env": env}, **HERE)
    (config_map,) = (each for each in rendered(values) if each["kind"] == "ConfigMap")
    (folder / "configured").mkdir()
    (folder / "configured" / "setup.yaml").write_text(config_map["data"]["setup.yaml"])
    # There is no /etc/nrc on this machine, and its root is not for us to write.
    template = json.dumps(pod_template(values, "setup")).replace("/etc/nrc/setup", "/var/lib/setup")
    pod = Pod(
        json.loads(template),
        folder,
        secrets=secrets,
        shared={**(shared or {}), "setup": folder / "configured"},
    )
    for first in (True, False):
        async with pod.start() as run:
            assert await run.ends(within=60) == 0, run.err
            assert ("kanaal setup added" in run.out) is first, run.out


async def test_nothing_but_the_volumes_can_be_written(tmp_path: Path) -> None:
    """Without this the test above would prove nothing of a read-only root."""
    template = pod_template(values_of("inline"), "gateway")
    secrets = dict.fromkeys(
        [("nrc", "database-url"), ("nrc", "amqp-url"), ("nrc", "secret-keys")], "not used here"
    )
    pod = Pod(template, tmp_path, secrets=secrets)
    for path, code in (("/etc/nrc-test", 1), ("/var/lib/other", 1), ("/var/lib/nrc/a", 0), ("/tmp/a", 0)):
        async with pod.run("touch", path) as run:
            assert await run.ends(within=20) == code, path
    # What a gateway does in its preStop.
    waiting = pod.container["lifecycle"]["preStop"]["exec"]["command"]
    async with pod.run(waiting[0], "0") as run:
        assert await run.ends(within=20) == 0


async def test_the_hook_refuses_a_database_that_is_not_shared(tmp_path: Path) -> None:
    secrets = secrets_of("sqlite:////var/lib/nrc/registry.db")
    pod = Pod(pod_template(VALUES, "migrate"), tmp_path, secrets=secrets)
    async with pod.start() as run:
        assert await run.ends(within=60) == 2
        assert "a SQLite file serves one host" in run.err


async def test_a_pod_whose_database_is_away_ends_and_says_why(tmp_path: Path) -> None:
    """Its container is started again by Kubernetes, at growing pauses, until the database is there."""
    secrets = secrets_of("sqlite:////nowhere/registry.db")
    pods = [
        Pod(pod_template(VALUES, name), tmp_path / name, secrets=secrets)
        for name in ("router", "gateway", "deliverer", "ledger", "alerts", "console")
    ]

    async def ends(pod: Pod) -> None:
        async with pod.start() as run:
            assert await run.ends(within=60) == 3, run.err
            assert "cannot go on" in run.err

    await asyncio.gather(*map(ends, pods))
