"""The parts of `nrc up` that need no RabbitMQ: pauses, locks, addresses, which broker, what is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nrc.rabbitmq import choice, private_node
from nrc.rabbitmq.choice import choose_broker
from nrc.rabbitmq.container import Container, ContainerBroker, load_container
from nrc.rabbitmq.container import find_running as find_container
from nrc.rabbitmq.private_broker import PrivateBroker
from nrc.rabbitmq.private_node import load_node, marker, node_folder, prepare_node, server_script
from nrc.rabbitmq.shield_policy import SET_POLICY
from nrc.state_lock import (
    beside_up,
    loopback_is_open,
    only_up,
    shared_lock,
    told_loopback,
    wait_for_leftovers,
)
from nrc.supervised_process import FIRST_PAUSE, LONGEST_PAUSE, STEADY, next_pause
from nrc.up import exempt_hosts, labels, loopback_open
from runtime.listening import reached_at
from runtime.settings import load_settings
from schemas.errors import BrokerUnavailable, UsageError


@pytest.mark.parametrize(
    ("pause", "lived", "expected"),
    [
        (FIRST_PAUSE / 2, 0.1, FIRST_PAUSE),
        (FIRST_PAUSE, 0.1, FIRST_PAUSE * 2),
        (LONGEST_PAUSE * 0.75, 0.1, LONGEST_PAUSE),
        (LONGEST_PAUSE, STEADY - 1, LONGEST_PAUSE),
        (LONGEST_PAUSE, STEADY, FIRST_PAUSE),
    ],
)
def test_pauses_grow_until_a_process_worked_for_a_while(pause: float, lived: float, expected: float) -> None:
    assert next_pause(pause, lived=lived) == expected


def test_labels() -> None:
    assert labels("gateway", 1) == ["gateway"]
    assert labels("deliverer", 2) == ["deliverer 1", "deliverer 2"]


@pytest.mark.parametrize(
    ("listen_at", "root"),
    [
        (("127.0.0.1", 8000), "http://127.0.0.1:8000"),
        (("0.0.0.0", 80), "http://127.0.0.1"),
        (("::", 8000), "http://[::1]:8000"),
        (("nrc.example", 8000), "http://nrc.example:8000"),
    ],
)
def test_where_a_gateway_is_reached_from_here(listen_at: tuple[str, int], root: str) -> None:
    assert str(reached_at(listen_at)).rstrip("/") == root


def test_one_up_per_state_folder(tmp_path: Path) -> None:
    state = tmp_path / "made when it is not there"
    with only_up(state):
        assert state.stat().st_mode & 0o777 == 0o700
        with pytest.raises(UsageError, match=rf"already runs on .* \(pid {os.getpid()}\)"), only_up(state):
            raise AssertionError("two at once")
    with only_up(state):
        pass


def test_a_state_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"NRC_STATE_DIR: .*file.*"), only_up(tmp_path / "file"):
        raise AssertionError("a lock in a file")


async def test_leftovers_are_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    with shared_lock(tmp_path) as left, shared_lock(tmp_path) as mine:
        await wait_for_leftovers(left, within=0, note=said.append)
        assert said == []
        with pytest.raises(UsageError, match="do not stop"):
            await wait_for_leftovers(mine, within=0.15, note=said.append)
        assert len(said) == 1


def test_loopback_is_open_beside_an_up_that_has_it_open(tmp_path: Path) -> None:
    with only_up(tmp_path), told_loopback(tmp_path, is_open=True):
        assert loopback_is_open(tmp_path)
    assert not loopback_is_open(tmp_path)
    with only_up(tmp_path), told_loopback(tmp_path, is_open=False):
        assert not loopback_is_open(tmp_path)
    (tmp_path / "loopback.open").touch()
    assert not loopback_is_open(tmp_path), "what a killed one left says nothing"
    with only_up(tmp_path), told_loopback(tmp_path, is_open=False):
        assert not loopback_is_open(tmp_path), "nor of the next one"


def test_a_command_beside_an_up_sends_where_that_does(tmp_path: Path) -> None:
    own = load_settings(_env_file=None, state_dir=tmp_path)
    assert not beside_up(own).callback_allow_loopback
    with only_up(tmp_path), told_loopback(tmp_path, is_open=True):
        assert beside_up(own).callback_allow_loopback
        shut = load_settings(_env_file=None, state_dir=tmp_path, callback_allow_loopback="false")
        assert not beside_up(shut).callback_allow_loopback


def test_up_opens_loopback_unless_it_is_told() -> None:
    assert not load_settings(_env_file=None).callback_allow_loopback
    assert loopback_open(load_settings(_env_file=None))
    assert loopback_open(load_settings(_env_file=None, callback_allow_loopback="true"))
    assert not loopback_open(load_settings(_env_file=None, callback_allow_loopback="false"))


def test_webhook_site_is_exempt_under_up_only_unless_it_is_told() -> None:
    assert load_settings(_env_file=None).callback_check_exempt_hosts == ()
    assert exempt_hosts(load_settings(_env_file=None)) == ("webhook.site",)
    assert exempt_hosts(load_settings(_env_file=None, callback_check_exempt_hosts="")) == ()
    assert exempt_hosts(load_settings(_env_file=None, callback_check_exempt_hosts="a.nl")) == ("a.nl",)


async def test_no_broker_at_all_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "server_script", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"NRC_AMQP_URL.*apt-get install.*Docker"):
        await choose_broker(tmp_path)


def test_packages_wrappers_are_seen_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper changes user; only RabbitMQ's own script reads rabbitmq-env."""
    monkeypatch.setattr(private_node, "_SCRIPTS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    script = tmp_path / "rabbitmq-server"
    script.write_text("#!/bin/sh\nsu rabbitmq -c rabbitmq-server\n")
    script.chmod(0o755)
    assert server_script() is None

    script.write_text('#!/bin/sh\n. "$SCRIPTS_DIR/rabbitmq-env"\n')
    assert server_script() == script.resolve()


def test_a_node_is_refused_when_its_folder_was_moved(tmp_path: Path) -> None:
    before = node_folder(tmp_path / "before")
    node = prepare_node(before)
    assert node.name == f"{marker(before)}@localhost"
    assert prepare_node(before) == node
    (tmp_path / "before").rename(tmp_path / "after")
    with pytest.raises(BrokerUnavailable, match="was made elsewhere"):
        prepare_node(node_folder(tmp_path / "after"))


def test_what_a_private_node_is_told(tmp_path: Path) -> None:
    folder = node_folder(tmp_path)
    node = prepare_node(folder)
    told = node.environment(folder)

    assert told["RABBITMQ_NODE_IP_ADDRESS"] == "127.0.0.1"
    assert told["HOME"] == str(folder)
    assert (folder / "enabled_plugins").read_text() == "[].\n"
    assert node.password in (folder / "advanced.config").read_text()
    assert node.password not in " ".join([*told.values(), *node.arguments(folder)])
    assert load_node(folder) == node


async def test_another_users_node_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_node(node_folder(tmp_path))

    def refuse(_: Path) -> bytes:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(BrokerUnavailable, match="another user"):
        _ = PrivateBroker(tmp_path).node


def test_the_container_is_for_this_machine_only_and_hides_its_password(tmp_path: Path) -> None:
    container = Container("nrc-abc", 25672, "nrc", "secret-of-the-broker")
    command = container.run_command()

    assert command[command.index("--publish") + 1] == "127.0.0.1:25672:5672"
    assert command[command.index("--volume") + 1] == "nrc-abc:/var/lib/rabbitmq"
    assert "secret-of-the-broker" not in " ".join(command)
    assert load_container(tmp_path) is None
    assert find_container(tmp_path) is None


DOCKER = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$1" in inspect) echo true ;; exec) exit ${EXEC_CODE:-0} ;; esac
"""


@pytest.mark.parametrize("code", ["0", "1"])
async def test_a_container_gets_the_policy_that_keeps_others_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("EXEC_CODE", code)

    async def takes_connections(_: str) -> bool:
        return True

    monkeypatch.setattr("nrc.rabbitmq.container.takes_connections", takes_connections)
    broker = ContainerBroker(tmp_path / "state")
    (tmp_path / "state").mkdir()
    await broker.start()
    name = load_container(tmp_path / "state").name  # type: ignore[union-attr]
    assert (tmp_path / "calls").read_text().splitlines()[-1] == " ".join(
        ["exec", name, "rabbitmqctl", *SET_POLICY]
    )
    assert ("policy that keeps others off" in capsys.readouterr().out) == (code == "1")
