"""A private PgBouncer in transaction mode, before the PostgreSQL of the tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.databases.postgresql import free_port
from tests.eventually import eventually

PROGRAM = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
MISSING = "PgBouncer is not installed here (Debian and Ubuntu: apt-get install pgbouncer)"
POOL = 2
"""Connections to the server for all who connect."""


@contextlib.asynccontextmanager
async def pgbouncer(url: str, *, pool: int = POOL) -> AsyncIterator[str]:
    """The URL of the same database behind it; PostgreSQL must listen on TCP (`can_be_before`)."""
    assert PROGRAM, MISSING
    at = urlsplit(url)
    port, name, user = free_port(), at.path.removeprefix("/"), at.username or "postgres"
    folder = Path(tempfile.mkdtemp(prefix="nrc-test-pgbouncer-"))
    (folder / "users").write_text(f'"{user}" "{at.password or ""}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{name} = host={at.hostname} port={at.port or 5432} dbname={name}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder}/users\npool_mode = transaction\ndefault_pool_size = {pool}\n"
        f"max_client_conn = 1000\nlogfile = {folder}/log\npidfile = {folder}/pid\n"
    )
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        # PgBouncer refuses to run as root.
        as_user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        for path in (folder, folder / "users", folder / "pgbouncer.ini"):
            shutil.chown(path, "nobody")
    process = subprocess.Popen(  # noqa: ASYNC220 - a fork, and no wait
        [PROGRAM, folder / "pgbouncer.ini"], cwd="/", stderr=subprocess.DEVNULL, **as_user
    )  # type: ignore[call-overload]
    behind = f"postgresql://{user}@127.0.0.1:{port}/{name}"

    async def answers() -> bool:
        assert process.poll() is None, "PgBouncer ended"
        with contextlib.suppress(psycopg.OperationalError):
            await (await psycopg.AsyncConnection.connect(behind, connect_timeout=5)).close()
            return True
        return False

    try:
        await eventually(answers, within=60)
        yield f"{behind}?{at.query}" if at.query else behind
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait)
        shutil.rmtree(folder)


def can_be_before(url: str) -> bool:
    """Whether this database is at an address that it can be given."""
    at = urlsplit(url)
    return bool(PROGRAM and at.hostname and "%" not in at.hostname)
