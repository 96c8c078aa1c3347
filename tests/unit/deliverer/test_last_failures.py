"""What deliverers note of attempts for operators: what could not be written is written later."""

from __future__ import annotations

from pathlib import Path

from deliverer.http.client import Failure, FailureClass
from deliverer.outcomes.last_failures import LastFailures
from store.sqlite.registry import SqliteRegistry
from tests.make import an_abonnement


async def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.db")
    last_failures = LastFailures(registry)
    one, other = an_abonnement(), an_abonnement()
    last_failures.failed(one.uuid, Failure(FailureClass.TIMEOUT, "the first"))
    last_failures.failed(other.uuid, Failure(FailureClass.TIMEOUT, "the first"))
    assert not await last_failures.write(), "the registry is not open"
    last_failures.failed(one.uuid, Failure(FailureClass.TIMEOUT, "the second"))
    async with registry:
        for each in (one, other):
            await registry.add_abonnement(each)
        assert await last_failures.write()
        found = await registry.last_failures()
    assert [found[each.uuid].detail for each in (one, other)] == [
        "timeout: the second",
        "timeout: the first",
    ]
