"""What all commands have in common: help, faults, exit codes, output for other programs."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

import click
import pytest

from nrc.cli import main
from nrc.cli.lazy_commands import LazyCommand
from nrc.exits import Exit, GatewayUnreachable, exit_code
from schemas.errors import (
    BrokerUnavailable,
    BrokerUnfit,
    Conflict,
    LedgerError,
    NrcError,
    RegistryError,
    RegistryInUse,
    RegistryTooNew,
    SecretsUnreadable,
    SettingsError,
    Unroutable,
    UsageError,
)
from tests.command import every_command, make_registry, nrc

COMMANDS = dict(every_command())


def test_all_commands_are_there() -> None:
    assert {" ".join(path) for path in COMMANDS} >= {
        "up", "gateway", "router", "deliverer", "demo",
        "application add", "application list", "application remove", "application rotate",
        "token", "kanaal list", "kanaal add",
        "abonnement list", "abonnement show", "abonnement remove", "abonnement resume",
        "publish", "queues", "resend", "retry drop", "retry now",
        "undeliverable list", "undeliverable show", "undeliverable resend",
        "reconcile", "health", "settings", "version",
    }  # fmt: skip


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_help_also_with_wrong_settings(
    tmp_path: Path, path: tuple[str, ...]
) -> None:
    ran = nrc(tmp_path, *path, "--help", env={"NRC_MAX_BODY": "many"})
    assert ran.code == 0
    command = COMMANDS[path]
    assert command.get_short_help_str()
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, param.name


def test_help_says_of_each_command_what_the_command_says_itself() -> None:
    for command in main.commands.values():
        assert isinstance(command, LazyCommand)
        assert command.get_short_help_str(200) == command.load().get_short_help_str(200)


HEAVY = {"aio_pika", "aiohttp", "cryptography", "jwt", "pydantic", "rich", "sqlite_utils", "structlog"}
REGISTRY = ("pydantic", "cryptography", "rich", "sqlite_utils", "structlog")


@pytest.mark.parametrize(
    "arguments, may_load",
    [
        ("--help", ()),
        ("--version", ()),
        ("kanaal --help", ("pydantic",)),
        ("abonnement --help", ("pydantic",)),
        ("application --help", ("pydantic",)),
        ("up --help", ("pydantic",)),
        ("publish --help", ("pydantic",)),
        ("listen --help", ("pydantic",)),
        ("kanaal list", REGISTRY),
        ("kanaal list --json", REGISTRY),
        ("application list", REGISTRY),
        ("secrets check", REGISTRY),
        ("trace x", REGISTRY),
        ("notificaties list", REGISTRY),
        ("token zac", (*REGISTRY, "jwt")),
        ("abonnement list", (*REGISTRY, "aio_pika")),
        ("queues", (*REGISTRY, "aio_pika")),
        ("undeliverable list", (*REGISTRY, "aio_pika")),
        ("health", (*REGISTRY, "aio_pika")),
        ("settings", ("pydantic",)),
    ],
)
def test_a_command_loads_no_more_than_it_needs(
    tmp_path: Path, arguments: str, may_load: tuple[str, ...]
) -> None:
    """So that it starts at once."""
    nrc(tmp_path, "application", "add", "zac", "--new", "--scope", "publiceren")
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from contextlib import suppress; from nrc.cli import main\n"
            f"with suppress(SystemExit): main({arguments.split()!r})\n"
            "print(*sys.modules)",
        ],
        env={
            "NRC_STATE_DIR": str(tmp_path),
            "NRC_GATEWAY_LISTEN": "127.0.0.1:1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = ran.stdout.splitlines()[-1].split()
    assert "there is no registry" not in ran.stderr, "else it did nothing of what it is for"
    assert HEAVY & {*loaded} <= {*may_load}


def test_help_tells_exit_codes_and_completion(tmp_path: Path) -> None:
    out = nrc(tmp_path, "--help").out
    assert "Exit codes: 0 ok" in out
    for shell in ("bash", "zsh", "fish"):
        assert f"_NRC_COMPLETE={shell}_source nrc" in out


def test_completion_works(tmp_path: Path) -> None:
    """With what the help tells people to do."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("nrc")],
        env={
            "_NRC_COMPLETE": "bash_complete",
            "COMP_WORDS": "nrc application grant zac pub",
            "COMP_CWORD": "4",
            "PYTHONPATH": str(Path(__file__).parents[2]),  # not what was installed some time ago
        },
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout == "plain,publiceren\n"


def test_version(tmp_path: Path) -> None:
    assert nrc(tmp_path, "version").out == f"{version('nrc')}\n"
    assert nrc(tmp_path, "--version").out == f"{version('nrc')}\n"


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_harm(tmp_path: Path, closed: str) -> None:
    make_registry(tmp_path)
    env = {"NRC_STATE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = f"exec '{sys.executable}' -m nrc kanaal add zaken {closed}"
    ran = subprocess.run(["/bin/sh", "-c", command], env=env, cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "zaken" in nrc(tmp_path, "kanaal", "list").out


def test_ctrl_c_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nrc.cli.processes.installed_version", interrupted)
    ran = nrc(tmp_path, "version")
    assert (ran.code, ran.out, ran.err) == (130, "", "")


@pytest.mark.parametrize("stdin, code, err", [(None, 130, "\n"), (b"n\n", 1, "Aborted!\n")])
def test_ctrl_c_at_a_question_is_silent_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdin: bytes | None, code: int, err: str
) -> None:
    def ask(*_: object) -> None:
        with monkeypatch.context() as patched:
            if stdin is None:
                patched.setattr("click.termui.visible_prompt_func", interrupted)
            click.confirm("sure?", abort=True)

    monkeypatch.setattr("nrc.cli.processes.installed_version", ask)
    ran = nrc(tmp_path, "version", stdin=stdin)
    assert (ran.code, ran.err) == (code, err)


@pytest.mark.parametrize(
    "error, code",
    [
        (UsageError("x"), 2),
        (SettingsError(["x"]), 2),
        (Conflict("x"), 1),
        (RegistryTooNew("x"), 1),
        (RegistryError("x"), 3),
        (RegistryInUse("x"), 3),
        (LedgerError("x"), 3),
        (BrokerUnavailable("x"), 3),
        (Unroutable("x"), 3),
        (BrokerUnfit("x"), 1),
        (SecretsUnreadable("x"), 1),
        (GatewayUnreachable("x"), 3),
        (NrcError("x"), 1),
    ],
)
def test_exit_codes(error: NrcError, code: int) -> None:
    assert exit_code(error) == Exit(code)


def test_wrong_settings_are_told_all_at_once(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "kanaal", "list", env={"NRC_MAX_BODY": "many", "NRC_LOG_LEVEL": "loud"})
    assert (ran.code, ran.out) == (2, "")
    assert [line.split(":")[:2] for line in ran.err.splitlines()] == [
        ["nrc", " NRC_MAX_BODY"],
        ["nrc", " NRC_LOG_LEVEL"],
    ]


@pytest.mark.parametrize("command", [["kanaal", "list"], ["router"], ["up"]])
@pytest.mark.parametrize("in_file", [False, True])
def test_wrong_settings_are_lines_of_json_where_the_log_is(
    tmp_path: Path, command: list[str], in_file: bool
) -> None:
    env = {"NRC_MAX_BODY": "many", "NRC_GATEWAY_LISTEN": "x"}
    if in_file:
        (tmp_path / ".env").write_text("NRC_LOG_FORMAT=json\n")
    else:
        env["NRC_LOG_FORMAT"] = "json"
    ran = nrc(tmp_path, *command, env=env)
    assert (ran.code, ran.out) == (2, "")
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert [line["fault"].split(":")[0] for line in lines] == ["NRC_GATEWAY_LISTEN", "NRC_MAX_BODY"]
    assert {(line["event"], line["level"]) for line in lines} == {("wrong setting", "error")}
    assert all(line["timestamp"] for line in lines)


def test_wrong_settings_are_told_whatever_is_wrong_with_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"NRC_LOG_FORMAT=json\n\xff")
    ran = nrc(tmp_path, "kanaal", "list")
    assert (ran.code, ran.err) == (2, "nrc: .env: not UTF-8; save it as UTF-8\n")


@pytest.mark.parametrize("arguments", [["queues"], ["reconcile"]])
@pytest.mark.parametrize("url", ["", "amqp://guest:hidden-pw@127.0.0.1:1/,amqp://127.0.0.1:2/"])
def test_without_a_broker(tmp_path: Path, arguments: list[str], url: str) -> None:
    make_registry(tmp_path)
    ran = nrc(tmp_path, *arguments, env={"NRC_AMQP_URL": url})
    assert (ran.code, ran.out) == (3, "")
    last = ran.err.splitlines()[-1]
    assert last.startswith("nrc: ")
    assert ("NRC_AMQP_URL is not set" in last) == (not url)
    assert "hidden-pw" not in ran.err
    assert "Traceback" not in ran.err


READING = [
    *("application list", "application revoke x publiceren", "application rotate x", "application remove x"),
    *("application remove x --with-abonnementen", "token x", "kanaal list", "abonnement list", "queues"),
    *(f"abonnement {what} {UUID(int=1)}" for what in ("show", "remove", "resume", "suspend", "probe")),
    *("publish - --url http://127.0.0.1:1", "secrets check", "secrets rotate", "demo"),
]


@pytest.mark.parametrize("state", [".", "var"])
@pytest.mark.parametrize("command", READING)
def test_a_command_elsewhere_makes_nothing(tmp_path: Path, command: str, state: str) -> None:
    ran = nrc(tmp_path, *command.split(), env={"NRC_STATE_DIR": state}, stdin=b"{}")
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith(f"nrc: there is no registry {(tmp_path / state / 'registry.db').absolute()}: run ")
    assert "NRC_STATE_DIR" in line
    assert "--new" not in line, "it makes none"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["application add x", "kanaal add x"])
def test_a_command_that_adds_makes_a_registry_when_it_is_told_so(tmp_path: Path, command: str) -> None:
    elsewhere = {"NRC_STATE_DIR": "var"}
    ran = nrc(tmp_path, *command.split(), env=elsewhere)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"nrc: there is no registry {tmp_path}/var/registry.db: run ")
    assert "--new" in ran.err
    assert list(tmp_path.iterdir()) == []

    ran = nrc(tmp_path, *command.split(), "--new", env=elsewhere)
    assert ran.code == 0
    assert ran.err.splitlines()[0] == f"made a new registry: {tmp_path}/var/registry.db"
    ran = nrc(tmp_path, *command.split()[:2], "y", "--new", env=elsewhere)
    assert (ran.code, "registry: " in ran.err) == (0, False)


def test_an_empty_registry_is_told_of(tmp_path: Path) -> None:
    make_registry(tmp_path)
    ran = nrc(tmp_path, "application", "list")
    assert (ran.code, ran.err.splitlines()[0]) == (0, f"this registry is empty: {tmp_path}/registry.db")


def test_a_registry_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_text("not a database at all, but text " * 50)
    ran = nrc(tmp_path, "application", "list")
    assert (ran.code, ran.out) == (3, "")
    assert "not an SQLite database" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_registry_that_is_too_new(tmp_path: Path) -> None:
    make_registry(tmp_path)
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("INSERT INTO _sqlite_migrations VALUES (99, 'registry', '0099_later', '')")
    connection.close()
    ran = nrc(tmp_path, "kanaal", "list")
    assert ran.code == 1
    assert "newer version" in ran.err


def test_health_without_anything(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "health", "--json", env={"NRC_GATEWAY_LISTEN": "127.0.0.1:1"})
    assert ran.code == 3
    assert {name: part["ok"] for name, part in ran.json().items()} == {
        "gateway": False,
        "broker": False,
        "router": False,
        "registry": False,
    }
    assert list(tmp_path.iterdir()) == []
    make_registry(tmp_path)
    plain = nrc(tmp_path, "health", env={"NRC_GATEWAY_LISTEN": "127.0.0.1:1"})
    assert plain.code == 3
    assert [line.split()[:2] for line in plain.out.splitlines()[1:]] == [
        ["gateway", "not"],
        ["broker", "not"],
        ["router", "not"],
        ["registry", "ok"],
    ]


def test_publish_to_no_gateway(tmp_path: Path) -> None:
    """Said once, and not once for each line."""
    nrc(tmp_path, "application", "add", "zac", "--new", "--scope", "publiceren")
    ran = nrc(tmp_path, "publish", "-", "--url", "http://127.0.0.1:1", stdin=b'{"a":1}\n{"a":2}\n')
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("nrc: no gateway at http://127.0.0.1:1/api/v1/notificaties: Connection refused")
    assert len(ran.err.splitlines()) == 1


def test_publish_as_whom(tmp_path: Path) -> None:
    def publish(*arguments: str) -> str:
        ran = nrc(tmp_path, "publish", "-", *arguments, stdin=b"{}")
        assert ran.code == 2
        return ran.err

    make_registry(tmp_path)
    assert "nrc application add ID --scope publiceren" in publish()
    nrc(tmp_path, "application", "add", "consumer", "--scope", "consumeren")
    assert "nrc application add ID --scope publiceren" in publish()
    for client_id in ("a", "b"):
        nrc(tmp_path, "application", "add", client_id, "--scope", "publiceren")
    assert "--client: which of a, b?" in publish()
    assert "no application 'x'" in publish("--client", "x")
    assert "give one of them" in publish("--client", "a", "--token", "x")
    assert "not a token" in publish("--token", "x\ny")
