"""Fixtures that every kind of test may take, and in which order files go."""

from __future__ import annotations

import gc
import signal
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from playwright.async_api import Browser

from router.declaring import declarer
from tests.broker import Broker, any_broker, private_broker
from tests.databases.postgresql import (
    MISSING,
    Postgresql,
    PrivateServer,
    any_postgresql,
    binaries,
    private_server,
)
from tests.forked import FORKING
from tests.longest import LONGEST_FIRST

# How fast examples are made says what else the machine does, and no test is about that.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure() -> None:
    """In the background of a shell SIGINT is ignored, and processes that tests start would ignore it too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What seven thousand tests are made of stays until the end: garbage is not looked for among it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the files, none is left alone with a long one at the end."""
    if hasattr(config, "workerinput"):
        turn = {file: number for number, file in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: turn.get(item.nodeid.partition("::")[0], len(turn)))


@pytest.fixture(scope="session")
async def broker() -> AsyncIterator[Broker]:
    """The RabbitMQ of this session; see tests/broker.py. Take `vhost` unless the whole broker is needed."""
    async with any_broker() as started:
        yield started


@pytest.fixture
async def vhost(broker: Broker) -> AsyncIterator[str]:
    """The AMQP URL of an empty virtual host, for one test; it is removed, connections and all, after it."""
    url = await broker.fresh_vhost()
    yield url
    await broker.remove_vhost(url)


@pytest.fixture
async def mortal_broker() -> AsyncIterator[Broker]:
    """A private node that one test may stop, kill and start again; takes some seconds to start."""
    async with private_broker() as started:
        yield started


@pytest.fixture(scope="session")
async def postgresql() -> AsyncIterator[Postgresql]:
    """The PostgreSQL of this session; see tests/databases/postgresql.py."""
    async with any_postgresql() as started:
        yield started


@pytest.fixture
async def database_url(postgresql: Postgresql) -> AsyncIterator[str]:
    """NRC_DATABASE_URL of an empty schema, for one test; it is removed after it."""
    url = postgresql.fresh_schema()
    yield url
    await postgresql.remove_schema(url)


@pytest.fixture
async def mortal_server() -> AsyncIterator[PrivateServer]:
    """A PostgreSQL server that one test may stop, pause and start again; takes a second to start."""
    if binaries() is None:
        pytest.skip(MISSING)
    async with private_server() as started:
        yield started


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, for tests of pages (tests/browser/)."""
    from tools.chromium import chromium

    async with chromium() as started:
        yield started


@pytest.fixture(scope="session", autouse=True)
def _no_process_stays_that_commands_are_forked_from() -> Iterator[None]:
    yield
    FORKING.close()


@pytest.fixture(scope="session", autouse=True)
def _queues_may_be_deleted_at_once() -> Iterator[None]:
    """Routers in this process: most tests start or kill no RabbitMQ, and each would wait for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(declarer, "BEFORE_DELETING", 0.0)
        yield
