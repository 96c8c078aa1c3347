"""Every process with settings that prevent its start, and at a second signal. Needs no RabbitMQ.

A fault in the settings ends it before a socket is opened or a file made, and all faults are reported at once.
"""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from nrc.rabbitmq.private_node import free_port
from tests.e2e.running import NRC, Running, environment, nrc, running

PROCESSES = ("gateway", "router", "deliverer", "ledger")


@pytest.fixture
def broker_address() -> Iterator[socket.socket]:
    """Something that listens, and that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        yield server


def url(server: socket.socket) -> str:
    return f"amqp://127.0.0.1:{server.getsockname()[1]}/"


def nobody_connected(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize("name", [*PROCESSES, "up"])
async def test_wrong_settings_are_all_told_before_a_socket_opens(
    name: str, tmp_path: Path, broker_address: socket.socket
) -> None:
    env = environment(
        NRC_AMQP_URL=url(broker_address),
        NRC_STATE_DIR="state",
        NRC_STOP_TIMEOUT="soon",
        NRC_SECRET_KEYS="never-shown",
        NRC_RETRY_SCHEDULE="5,0",
    )

    run = await nrc(name, env=env, cwd=tmp_path)

    assert run.process.returncode == 2
    assert told(run) == ["NRC_RETRY_SCHEDULE", "NRC_SECRET_KEYS", "NRC_STOP_TIMEOUT"]
    assert "never-shown" not in run.err
    assert nobody_connected(broker_address)
    assert files(tmp_path) == []


def files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def told(run: Running) -> list[str]:
    """What the lines on standard error are about."""
    return sorted(line.split(": ")[1] for line in run.err.splitlines())


@pytest.mark.parametrize("name", [*PROCESSES, "up"])
async def test_wrong_lines_in_a_file_are_told_with_those_of_the_environment(
    name: str, tmp_path: Path, broker_address: socket.socket
) -> None:
    (tmp_path / ".env").write_text("NRC_MAX_BODY=much\nNRC_LOG_LEVEL=loud\n")
    env = environment(NRC_AMQP_URL=url(broker_address), NRC_CALLBACK_TIMEOUT="0")

    run = await nrc(name, env=env, cwd=tmp_path)

    assert run.process.returncode == 2
    assert told(run) == ["NRC_CALLBACK_TIMEOUT", "NRC_LOG_LEVEL", "NRC_MAX_BODY"]
    assert nobody_connected(broker_address)


@pytest.mark.parametrize("name", [*PROCESSES, "up"])
async def test_a_file_that_is_not_utf_8_is_told_with_what_else_is_wrong(
    name: str, tmp_path: Path, broker_address: socket.socket
) -> None:
    (tmp_path / ".env").write_bytes("NRC_PUBLIC_URL=http://gemeente-Súdwest.nl\n".encode("latin-1"))
    env = environment(NRC_AMQP_URL=url(broker_address), NRC_CALLBACK_TIMEOUT="0", NRC_MAX_BODY="much")

    run = await nrc(name, env=env, cwd=tmp_path)

    assert run.process.returncode == 2
    assert told(run) == [".env", "NRC_CALLBACK_TIMEOUT", "NRC_MAX_BODY"]
    assert "save it as UTF-8" in run.err
    assert nobody_connected(broker_address)
    assert files(tmp_path) == [".env"]


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("gateway", "NRC_GATEWAY_LISTEN"),
        ("router", "NRC_HEALTH_LISTEN"),
        ("deliverer", "NRC_HEALTH_LISTEN"),
        ("up", "NRC_GATEWAY_LISTEN"),
    ],
)
async def test_an_address_that_is_taken_is_a_wrong_setting(
    name: str, setting: str, tmp_path: Path, broker_address: socket.socket
) -> None:
    taken = f"127.0.0.1:{broker_address.getsockname()[1]}"
    env = environment(NRC_AMQP_URL=f"amqp://127.0.0.1:{free_port()}/", NRC_STATE_DIR=".", **{setting: taken})

    run = await nrc(name, env=env, cwd=tmp_path)

    assert run.process.returncode == 2
    assert f"{setting}: {taken}: Address already in use" in run.err
    assert "Traceback" not in run.err


async def test_what_keeps_nrc_up_from_starting_is_json_where_the_log_is(
    tmp_path: Path, broker_address: socket.socket
) -> None:
    taken = f"127.0.0.1:{broker_address.getsockname()[1]}"
    env = environment(NRC_STATE_DIR=".", NRC_GATEWAY_LISTEN=taken, NRC_LOG_FORMAT="json")

    run = await nrc("up", env=env, cwd=tmp_path)

    assert run.process.returncode == 2
    last = json.loads(run.err.splitlines()[-1])
    assert (last["event"], last["process"]) == ("cannot go on", "up")
    assert last["reason"] == f"NRC_GATEWAY_LISTEN: {taken}: Address already in use"


@pytest.mark.parametrize("name", PROCESSES)
async def test_a_state_folder_that_cannot_be_written_is_one_line(
    name: str, tmp_path: Path, broker_address: socket.socket
) -> None:
    (tmp_path / "taken").write_text("")
    env = environment(NRC_AMQP_URL=url(broker_address), NRC_STATE_DIR="taken")

    run = await nrc(name, env=env, cwd=tmp_path)

    assert run.process.returncode == 3
    (line,) = run.err.splitlines()
    assert "cannot go on" in line
    assert "NRC_STATE_DIR" in line
    assert nobody_connected(broker_address)


async def test_nrc_up_on_a_state_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    run = await nrc("up", env=environment(NRC_STATE_DIR="taken"), cwd=tmp_path)
    assert run.process.returncode == 2
    (line,) = run.err.splitlines()
    assert line.startswith("nrc: NRC_STATE_DIR: ")


@pytest.mark.parametrize("name", PROCESSES)
async def test_a_lost_key_is_one_line(name: str, tmp_path: Path, broker_address: socket.socket) -> None:
    env = environment(NRC_AMQP_URL=url(broker_address), NRC_STATE_DIR=".")
    added = await nrc("application", "add", "zac", "--new", "--secret", "never-shown", env=env, cwd=tmp_path)
    assert added.process.returncode == 0
    assert nobody_connected(broker_address) is False, "the command tells the router"
    (tmp_path / "secret.keys").unlink()

    run = await nrc(name, env=env, cwd=tmp_path)

    assert run.process.returncode == 1
    (line,) = run.err.splitlines()
    assert "the key is gone" in line
    assert "never-shown" not in line
    assert not (tmp_path / "secret.keys").exists()


@pytest.mark.parametrize("name", PROCESSES)
async def test_a_second_signal_ends_a_process_at_once(name: str, tmp_path: Path) -> None:
    env = environment(
        NRC_AMQP_URL=f"amqp://127.0.0.1:{free_port()}/",
        NRC_STATE_DIR=".",
        NRC_GATEWAY_LISTEN=f"127.0.0.1:{free_port()}",
    )
    async with running(*NRC, name, env=env, cwd=tmp_path) as run:
        await run.logs("broker connection lost or refused")
        # Both are there when it wakes up, so that the second cannot come too late.
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT):
            run.process.send_signal(number)
        assert await run.stop(signal.SIGCONT) == 1
        assert "told to stop again: ending at once" in run.err

    # What an abort leaves behind, the next start takes.
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    async with running(*NRC, name, env=env, cwd=tmp_path) as again:
        await again.logs("broker connection lost or refused")
        assert await again.stop() == 0
        assert "stopped" in again.err
