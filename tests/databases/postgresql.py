"""The PostgreSQL of the tests: a real one, with an empty schema for each test that asks.

Where it comes from, in this order: `NRC_TEST_POSTGRESQL_URL`, of a user that may make schemas there; the
server on this machine, when it lets us in and lets us make a database; a container through testcontainers; a
private server of Debian's package in a temporary folder, with a port of its own and without fsync. Else the
tests that need one are skipped. Several test runs on one machine do not affect each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

MISSING = (
    "there is no PostgreSQL for the tests: install it (Debian and Ubuntu: apt-get install postgresql), start "
    "Docker, or set NRC_TEST_POSTGRESQL_URL"
)
_LOCAL = ("postgresql://postgres@127.0.0.1:5432/", "postgresql://postgres@%2Fvar%2Frun%2Fpostgresql/")


class Postgresql:
    """A database in which tests make schemas of their own. `private` is the server when it is ours."""

    def __init__(self, url: str, private: PrivateServer | None = None) -> None:
        self.url = url
        self.private = private

    def fresh_schema(self) -> str:
        """The URL of a schema that nobody else uses; it is made when it is opened as a store."""
        return f"{self.url}{'&' if '?' in self.url else '?'}schema=test_{secrets.token_hex(8)}"

    async def remove_schema(self, url: str) -> None:
        """The schema that `fresh_schema` gave is gone, and what waited for something in it is ended."""
        name = url.rpartition("schema=")[2]
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute("SET client_min_messages = warning")
            await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


class PrivateServer:
    """A server of our own, in a temporary folder, for an unprivileged user. It may be stopped and killed.

    Another one may follow it as its standby, by streaming replication, and take over.
    """

    def __init__(self) -> None:
        self._bin = binaries()
        assert self._bin is not None, MISSING
        self._folder = Path(tempfile.mkdtemp(prefix="nrc-test-postgresql-"))
        self._data = self._folder / "data"
        # PostgreSQL refuses to run as root.
        self._user = next((each for each in ("postgres", "nobody") if _has_user(each)), None)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.settings: dict[str, object] = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 200,
        }

    def make(self) -> None:
        """The folder has a new database cluster; takes a second."""
        assert self._bin is not None
        self._give_folder()
        self._run(
            self._bin / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip

    def follow(self, primary: PrivateServer) -> None:
        """The folder has a copy of a server that runs, to be started as its standby; takes some seconds."""
        assert self._bin is not None
        self._give_folder()
        shutil.rmtree(self._data, ignore_errors=True)
        self._run(
            self._bin / "pg_basebackup", "-d", primary.url, "-D", self._data, "-R", "-X", "stream",
            "-c", "fast", "--no-sync",
        )  # fmt: skip

    async def promote(self) -> None:
        """This standby takes writes."""
        await _ask(self.url, sql.SQL("SELECT pg_promote()"))

    async def start(self) -> None:
        """It takes connections; of a standby, to read."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a fork, and no wait
                self._command(), stdout=log, stderr=log, cwd="/", **self._starts_as(),
            )  # fmt: skip
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                await (await psycopg.AsyncConnection.connect(self.url, connect_timeout=5)).close()
                return
            assert self._process.poll() is None, (self._folder / "log").read_text()
            await asyncio.sleep(0.05)

    async def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """It has ended. SIGINT ends all connections first ("fast"), SIGQUIT is as a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            await asyncio.to_thread(self._process.wait)
            self._process = None

    async def kill(self) -> None:
        """All its processes are gone, by SIGKILL."""
        assert self._process
        self.pause(paused=True)
        for pid in self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.stop(how=signal.SIGKILL)

    def let_in(self, *lines: str) -> None:
        """These are the lines of its pg_hba.conf, and postgres is let in; from a reload on."""
        text = "\n".join(("host all postgres 127.0.0.1/32 trust", *lines, ""))
        (self._data / "pg_hba.conf").write_text(text)

    def overwrite(self, file: str, *, at: int, with_: bytes) -> None:
        """These bytes stand in a file of its folder; it is stopped."""
        with (self._data / file).open("r+b") as damaged:
            damaged.seek(at)
            damaged.write(with_)

    def pause(self, *, paused: bool) -> None:
        """Its processes answer nothing, or do again."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)
        # Paused itself, it starts no others. Those of connections that were closed may be about to end.
        for pid in self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if paused else signal.SIGCONT)

    def _children(self) -> list[int]:
        assert self._process
        found = subprocess.run(
            ["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False
        )
        return [*map(int, found.stdout.split())]

    async def remove(self) -> None:
        """Nothing is left of it."""
        await self.stop(how=signal.SIGQUIT)
        shutil.rmtree(self._folder)

    def _give_folder(self) -> None:
        if os.geteuid() == 0 and self._user:
            shutil.chown(self._folder, self._user)

    def _run(self, *command: str | Path) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._as_user())

    def _command(self) -> list[str]:
        """The command that is the server."""
        assert self._bin is not None
        settings = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self._data), *settings]

    def _starts_as(self) -> dict[str, object]:
        """What says for whom the command is started."""
        return self._as_user()

    def _as_user(self) -> dict[str, object]:
        if os.geteuid() != 0 or self._user is None:
            return {}
        group = pwd.getpwnam(self._user).pw_gid
        return {"user": self._user, "group": group, "extra_groups": []}


def binaries() -> Path | None:
    """The folder with the programs of a PostgreSQL server, the newest where there are several."""
    # Debian keeps them off the PATH.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda file: int(file.parts[-3]))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@contextlib.asynccontextmanager
async def private_server() -> AsyncIterator[PrivateServer]:
    """A server that one test may stop and start again."""
    server = PrivateServer()
    try:
        await asyncio.to_thread(server.make)
        await server.start()
        yield server
    finally:
        await server.remove()


@contextlib.asynccontextmanager
async def any_postgresql() -> AsyncIterator[Postgresql]:
    """The database of this test session; the session's tests are skipped where there can be none."""
    if url := os.environ.get("NRC_TEST_POSTGRESQL_URL"):
        yield Postgresql(url)
        return
    for url in _LOCAL:
        if name := await _made_database(url):
            try:
                yield Postgresql(url + name)
            finally:
                await _ask(
                    f"{url}postgres", sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                )
            return
    if _docker_runs():
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer("postgres:16-alpine", driver=None) as container:
            yield Postgresql(container.get_connection_url())
    elif binaries() is not None:
        async with private_server() as server:
            yield Postgresql(server.url, server)
    else:
        pytest.skip(MISSING)


async def _made_database(url: str) -> str | None:
    """The name of a new database on the server at `url`, or None when it does not let us."""
    name = f"nrc_test_{secrets.token_hex(6)}"
    try:
        await _ask(
            f"{url}postgres",
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name)),
        )
    except psycopg.Error:
        return None
    return name


async def _ask(url: str, statement: sql.Composed) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5) as connection:
        await connection.execute(statement)


def _docker_runs() -> bool:
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0
    )


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
