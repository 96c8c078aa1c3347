"""Transactions on a real PostgreSQL (store/database): what stays, and what happens without the server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors

from schemas.errors import Conflict, RegistryError, RegistryTooNew
from store.database import database as module
from store.database.address import Connection, address_at
from store.database.database import Contents, Database
from store.database.listening import Listener
from store.database.schema_steps import Step
from store.faults import REGISTRY
from tests.databases.postgresql import PrivateServer
from tests.eventually import eventually


async def make_numbers(connection: Connection) -> None:
    await connection.execute("CREATE TABLE number (n integer PRIMARY KEY)")


STEPS = {"0001_numbers": Step(make_numbers)}


def a_database(url: str, *, patience: float = 20.0, **contents: object) -> Database:
    return Database(address_at(url), Contents(REGISTRY, STEPS, **contents), patience=patience)  # type: ignore[arg-type]


def with_steps(url: str, steps: Mapping[str, Step]) -> Database:
    return Database(address_at(url), Contents(REGISTRY, steps))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with a_database(database_url) as opened:
        yield opened


async def insert(connection: Connection, n: int) -> None:
    await connection.execute("INSERT INTO number VALUES (%s)", [n])


async def numbers(database: Database) -> list[int]:
    async def work(connection: Connection) -> list[int]:
        rows = await (await connection.execute("SELECT n FROM number ORDER BY n")).fetchall()
        return [row["n"] for row in rows]

    return await database.read(work)


async def test_what_was_written_is_there_after_opening_again(database_url: str) -> None:
    async with a_database(database_url) as database:
        await database.write(lambda connection: insert(connection, 1))
    async with a_database(database_url) as database:
        assert await numbers(database) == [1]


async def test_a_transaction_that_raises_writes_nothing(database: Database) -> None:
    async def work(connection: Connection) -> None:
        await insert(connection, 1)
        raise Conflict("no")

    with pytest.raises(Conflict, match="no"):
        await database.write(work)
    assert await numbers(database) == []


async def test_a_transaction_that_goes_on_after_a_fault_writes_nothing(
    database: Database,
) -> None:
    async def work(connection: Connection) -> None:
        await insert(connection, 1)
        with pytest.raises(errors.UniqueViolation):
            await insert(connection, 1)

    with pytest.raises(RegistryError, match="ROLLBACK"):
        await database.write(work)
    assert await numbers(database) == []


async def test_a_value_twice_is_a_conflict(database: Database) -> None:
    await database.write(lambda connection: insert(connection, 1))
    with pytest.raises(Conflict, match="taken already"):
        await database.write(lambda connection: insert(connection, 1))


async def test_a_read_sees_one_snapshot_and_writes_nothing(database: Database) -> None:
    async def work(connection: Connection) -> tuple[int, int]:
        count = "SELECT count(*) AS n FROM number"
        before = await (await connection.execute(count)).fetchone()
        await database.write(lambda other: insert(other, 1))
        after = await (await connection.execute(count)).fetchone()
        assert before and after
        return before["n"], after["n"]

    assert await database.read(work) == (0, 0)
    with pytest.raises(RegistryError, match="takes no writes"):
        await a_short_one(database).read(lambda connection: insert(connection, 2))


def a_short_one(database: Database) -> Database:
    """The same, without patience."""
    database._patience = 0.05
    return database


async def test_a_database_that_is_not_open_says_so(database_url: str) -> None:
    database = a_database(database_url)
    with pytest.raises(RegistryError, match="not open"):
        await numbers(database)


async def test_several_processes_that_start_at_once_make_the_tables_once(database_url: str) -> None:
    opened = [a_database(database_url) for _ in range(8)]
    await asyncio.gather(*(each.__aenter__() for each in opened))
    try:
        await opened[0].write(lambda connection: insert(connection, 1))
        assert [await numbers(each) for each in opened] == [[1]] * 8
    finally:
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in opened))


async def test_a_step_that_older_programs_can_go_on_beside(database_url: str) -> None:
    async def nothing(connection: Connection) -> None:
        pass

    newer = STEPS | {"0002_more": Step(nothing, compatible=True)}
    async with (
        with_steps(database_url, newer),
        a_database(database_url) as older,
    ):
        assert await numbers(older) == []
    newest = newer | {"0003_other": Step(nothing)}
    async with with_steps(database_url, newest):
        with pytest.raises(RegistryTooNew, match="step 0003_other"):
            await a_database(database_url).__aenter__()


async def test_a_step_may_take_long_and_others_wait_for_it(database_url: str) -> None:
    async def slow(connection: Connection) -> None:
        await make_numbers(connection)
        await connection.execute("SELECT pg_sleep(0.5)")

    contents = Contents(REGISTRY, {"0001_numbers": Step(slow)}, longest=0.2)
    opened = [Database(address_at(database_url), contents, patience=0.2) for _ in range(3)]
    await asyncio.gather(*(each.__aenter__() for each in opened))
    await asyncio.gather(*(each.__aexit__(None, None, None) for each in opened))


async def test_a_step_that_fails_leaves_nothing_of_the_others(database_url: str) -> None:
    async def broken(connection: Connection) -> None:
        raise Conflict("broken")

    steps = STEPS | {"0002_broken": Step(broken)}
    with pytest.raises(Conflict, match="broken"):
        await with_steps(database_url, steps).__aenter__()
    async with a_database(database_url) as database:
        assert await numbers(database) == []


# Faults


async def ask(url: str, statement: LiteralString, *values: object) -> list[Any]:
    """The rows of a statement, by a connection of its own."""
    async with await psycopg.AsyncConnection.connect(url.partition("?")[0], autocommit=True) as other:
        found = await other.execute(statement, values)
        return await found.fetchall() if found.description else []


async def test_a_connection_that_the_server_ended_is_replaced(database_url: str) -> None:
    async with a_database(database_url) as database:
        times = 0

        async def work(connection: Connection) -> None:
            nonlocal times
            times += 1
            if times == 1:
                await ask(database_url, "SELECT pg_terminate_backend(%s)", connection.info.backend_pid)
            await insert(connection, 1)

        await database.write(work)
        assert times == 2
        assert await numbers(database) == [1]


async def test_a_commit_of_which_nobody_knows_is_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_database(database_url) as database:

        async def work(connection: Connection) -> None:
            await insert(connection, 1)
            # The server is asked to commit on a connection that is gone by then.
            module._cut(connection)

        with pytest.raises(RegistryError, match="nobody knows"):
            await database.write(work)
        times = 0

        async def again(connection: Connection) -> None:
            nonlocal times
            times += 1
            await connection.execute("INSERT INTO number VALUES (2) ON CONFLICT DO NOTHING")
            if times == 1:
                module._cut(connection)

        await database.write(again, repeatable=True)
        assert times == 2


async def test_a_restart_of_the_server_is_waited_for(mortal_server: PrivateServer) -> None:
    async with a_database(mortal_server.url, patience=60) as database:
        await database.write(lambda connection: insert(connection, 1))
        await mortal_server.stop(how=signal.SIGQUIT)
        writing = asyncio.create_task(database.write(lambda connection: insert(connection, 2)))
        await asyncio.sleep(0)
        await mortal_server.start()
        await writing
        assert await numbers(database) == [1, 2]


async def test_a_server_that_stays_away_is_told_and_found_again(mortal_server: PrivateServer) -> None:
    async with a_database(mortal_server.url, patience=0.3) as database:
        await mortal_server.stop()
        with pytest.raises(RegistryError, match="cannot be reached; see that it runs"):
            await numbers(database)
        with pytest.raises(RegistryError, match="cannot be reached"):
            await a_database(mortal_server.url, patience=0.1).__aenter__()
        await mortal_server.start()

        async def is_back() -> bool:
            try:
                return await numbers(database) == []
            except RegistryError:
                return False

        await eventually(is_back, within=60)


async def test_a_server_that_answers_nothing_is_given_up(
    mortal_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_database(mortal_server.url, patience=60, longest=2.0) as database:
        assert await numbers(database) == []
        short = a_short_one(database)
        monkeypatch.setattr(module, "MARGIN", 0.2)
        mortal_server.pause(paused=True)
        try:
            with pytest.raises(RegistryError):
                await numbers(short)
        finally:
            mortal_server.pause(paused=False)


async def test_a_server_that_takes_no_writes_any_more(mortal_server: PrivateServer) -> None:
    async with a_database(mortal_server.url, patience=60) as database:
        await ask(mortal_server.url, "ALTER SYSTEM SET default_transaction_read_only = on")
        await ask(mortal_server.url, "SELECT pg_reload_conf()")
        short = a_short_one(database)

        async def is_refused() -> bool:
            try:
                await short.write(lambda connection: connection.execute("DELETE FROM number"))
            except RegistryError as error:
                return "takes no writes" in str(error)
            return False

        await eventually(is_refused, within=60)
        assert await numbers(database) == []
        with pytest.raises(RegistryError, match="takes no writes"):
            await a_database(mortal_server.url, patience=0).__aenter__()


async def test_a_statement_without_an_end_is_broken_off(database_url: str) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("SELECT pg_sleep(60)")

    async with a_database(database_url, longest=0.5) as database:
        with pytest.raises(RegistryError, match="took too long"):
            await database.read(work)
        assert await numbers(database) == []


async def test_a_lock_is_not_waited_for_without_an_end(database_url: str) -> None:
    async with a_database(database_url) as one, a_database(database_url) as other:
        assert await numbers(other) == [], "it has a connection"
        a_short_one(other)

        async def work(connection: Connection) -> None:
            with pytest.raises(RegistryError, match="has it locked"):
                await other.write(lambda another: insert(another, 1), lock=lock)

        lock = "LOCK TABLE number"
        await one.write(work, lock=lock)


async def test_a_transaction_that_is_cancelled_is_rolled_back(database: Database) -> None:
    begun = asyncio.Event()

    async def work(connection: Connection) -> None:
        await insert(connection, 1)
        begun.set()
        await connection.execute("SELECT pg_sleep(60)")

    writing = asyncio.create_task(database.write(work))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await database.write(lambda connection: insert(connection, 1))
    assert await numbers(database) == [1]


# The address


async def test_the_password_comes_from_a_file_and_is_told_to_nobody(tmp_path: Path) -> None:
    from dataclasses import replace

    from store.database.address import options

    file = tmp_path / "password"
    file.write_text("hunter2\n")
    address = replace(address_at("postgresql://nrc@db.example/nrc"), password_file=file)
    assert options(address)["password"] == "hunter2"
    secret = address_at("postgresql://nrc:hun%2Fter2@db1,db2:5433/nrc?schema=other&sslmode=require")
    assert secret.shown == "postgresql://db1,db2:5433/nrc (schema other)"
    assert "hun" not in repr(secret)
    assert options(secret)["password"] == "hun/ter2"
    assert options(secret)["sslmode"] == "require"


# Notifications


async def test_a_notification_ends_a_wait_also_after_the_connection_was_lost(database_url: str) -> None:
    async with a_database(database_url) as database:
        listener = Listener(database.address, "nrc test changes")

        async def listening() -> list[Any]:
            return await ask(
                database_url,
                "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN \"nrc test changes\"' "
                "AND datname = current_database()",
            )

        async def notify(connection: Connection) -> None:
            await connection.execute("SELECT pg_notify('nrc test changes', '')")

        try:
            # The first wait ends when it listens: something may have been missed before.
            await listener.wait(60)
            waiting = asyncio.create_task(listener.wait(600))
            await asyncio.sleep(0)
            await database.write(notify)
            await asyncio.wait_for(waiting, 60)
            [(pid,)] = await listening()
            await ask(database_url, "SELECT pg_terminate_backend(%s)", pid)
            await asyncio.wait_for(listener.wait(600), 60)
            assert await listening() not in ([], [(pid,)])
        finally:
            await listener.close()


async def test_who_is_refused_is_told_what_to_do(mortal_server: PrivateServer) -> None:
    server = f"postgresql://nrc:goed@127.0.0.1:{mortal_server.port}/nrc"
    async with await psycopg.AsyncConnection.connect(mortal_server.url, autocommit=True) as connection:

        async def ask(*statements: str) -> None:
            for statement in statements:
                await connection.execute(statement.encode())

        async def refused(url: str) -> str:
            try:
                async with a_database(url, patience=0):
                    return "it is let in"
            except RegistryError as error:
                return str(error)

        assert "its user or password is wrong" in await refused(server), "there is no such user"
        await ask("CREATE ROLE nrc LOGIN PASSWORD 'goed'")
        assert "there is no such database" in await refused(server)
        await ask("CREATE DATABASE nrc", "ALTER ROLE nrc CONNECTION LIMIT 0")
        assert "it has no connection left" in await refused(server)
        await ask("ALTER ROLE nrc CONNECTION LIMIT -1")
        mortal_server.let_in("host nrc nrc 127.0.0.1/32 scram-sha-256")
        await ask("SELECT pg_reload_conf()")

        async def asks_for_the_password() -> bool:
            return "its user or password is wrong" in await refused(server.replace("goed", "fout"))

        await eventually(asks_for_the_password, within=60)
        assert "does not let this user in" in await refused(f"{server[:-3]}postgres")
