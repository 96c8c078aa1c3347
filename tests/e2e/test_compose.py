"""docker-compose.yml and the Dockerfile: what they start, started here without Docker."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from nrc.rabbitmq.private_node import free_port
from nrc.rabbitmq.shield_policy import SET_POLICY
from tests.chart.image import DOCKERFILE, entrypoint, image_environment
from tests.e2e.running import NRC, Running, environment, nrc, running
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]
OURS = ("router", "gateway", "deliverer", "ledger", "alerts", "console")


def compose() -> dict[str, Any]:
    """The file as Compose reads it when no variable is set."""
    text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", (ROOT / "docker-compose.yml").read_text())
    return yaml.safe_load(text)


def test_who_runs_what_on_which_data() -> None:
    services = compose()["services"]

    assert services["rabbitmq"]["image"] == "rabbitmq:4.3-management"
    assert set(services) == {"rabbitmq", *OURS}
    for name in OURS:
        service = services[name]
        assert service["build"] == "."
        assert service["volumes"] == ["registry:/var/lib/nrc"]
        assert service["depends_on"]["rabbitmq"]["condition"] == "service_healthy"
        assert service["healthcheck"]["test"][:3] == ["CMD", "nrc", "health"]
        credentials = "{RABBITMQ_DEFAULT_USER}:{RABBITMQ_DEFAULT_PASS}".format(
            **services["rabbitmq"]["environment"]
        )
        assert service["environment"]["NRC_AMQP_URL"] == f"amqp://{credentials}@rabbitmq:5672/"
    assert not {"container_name", "ports", "hostname"} & set(services["deliverer"]), "any number must run"


def test_no_policy_of_others_empties_our_queues() -> None:
    """The health check that all others wait for sets the policy; operations.md has it for other brokers."""
    command = shlex.join(["rabbitmqctl", "-q", *SET_POLICY])
    kind, line = compose()["services"]["rabbitmq"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    said, same = (shlex.split(part) for part in (line.split("&&")[1], command))
    assert said == same
    documented = re.search(r"^rabbitmqctl set_policy .*$", (ROOT / "docs/operations.md").read_text(), re.M)
    assert documented
    assert shlex.split(documented[0].replace("-p / ", "")) == ["rabbitmqctl", *SET_POLICY]


def test_the_image_runs_as_an_ordinary_user_on_its_state_folder() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert "\nUSER nrc\n" in stages[-1]
    assert entrypoint() == ["nrc"]
    assert image_environment()["NRC_STATE_DIR"] == "/var/lib/nrc"
    # A volume takes its owner from the folder that it is first mounted on.
    assert "--home-dir /var/lib/nrc --create-home" in stages[-1]


def test_the_image_holds_every_package() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests", "bench", "docs", "tools"}
    assert copied == packages
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    script = "tools/make-image-venv"
    assert f"\nCOPY {script} tools/\n" in DOCKERFILE
    assert f' {script} /opt/nrc "$EXTRAS"\n' in DOCKERFILE
    for name in copied | {script, "constraints.txt", "pyproject.toml", "README.md", "LICENSE"}:
        assert f"!{name}" in ignored


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="there is no compose tool here")
def test_the_compose_tool_accepts_it() -> None:
    done = subprocess.run(
        ["docker-compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def test_the_services_do_the_main_job_together(vhost: str, tmp_path: Path) -> None:
    """Each service's command in its environment; only addresses and folders are this machine's."""
    services = compose()["services"]
    gateway = f"127.0.0.1:{free_port()}"

    async with AsyncExitStack() as opened:
        started: list[Running] = []
        checks: list[tuple[list[str], dict[str, str]]] = []
        for name in (*OURS, "deliverer"):
            service = services[name]
            health = f"127.0.0.1:{free_port()}"
            console = f"127.0.0.1:{free_port()}"
            moved = {"NRC_AMQP_URL": vhost, "NRC_STATE_DIR": str(tmp_path), "NRC_GATEWAY_LISTEN": gateway}
            moved["NRC_CONSOLE_LISTEN"] = console
            moved["NRC_CALLBACK_ALLOW_LOOPBACK"] = "true"  # here they all stand on one
            if "NRC_HEALTH_LISTEN" in service["environment"]:
                moved["NRC_HEALTH_LISTEN"] = health
            of_image = {key: value for key, value in image_environment().items() if key.startswith("NRC_")}
            env = environment(**of_image | service["environment"] | moved)
            assert entrypoint() == ["nrc"]
            command = (*NRC, *service["command"])
            started.append(await opened.enter_async_context(running(*command, env=env, cwd=tmp_path)))
            own = {"gateway": (gateway, "127.0.0.1:8000"), "console": (console, "127.0.0.1:8010")}
            at, listens = own.get(name, (health, service["environment"].get("NRC_HEALTH_LISTEN")))
            *check, url = service["healthcheck"]["test"][2:]
            assert url == f"http://{listens}"
            checks.append(([*check, f"http://{at}"], env))

        async def healthy() -> bool:
            ran = await asyncio.gather(*(nrc(*check, env=env, cwd=tmp_path) for check, env in checks))
            return all(run.process.returncode == 0 for run in ran)

        await eventually(healthy, within=60, every=1)
        demo = await nrc("demo", env=checks[1][1], cwd=tmp_path)
        assert demo.process.returncode == 0, demo.out + demo.err
        assert "callback received it" in demo.out
        for run in started:
            assert json.loads(run.err.splitlines()[0]), "logs are JSON in a container"
            assert await run.stop() == 0
