"""What deliverers note of attempts for operators: what could not be written is written later."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from deliverer.client import Failure, FailureClass
from deliverer.notes import Notes
from store.registry import BetweenAttempts, Retrying
from store.sqlite import SqliteRegistry
from tests.make import an_abonnement


async def test_what_could_not_be_written_is_written_later_unless_it_is_out_of_date(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.db")
    notes = Notes(registry)
    abonnement, now = an_abonnement(), time.time()

    def waits(notificatie: str, due: float, attempts: int = 1) -> None:
        notes.waits(BetweenAttempts(notificatie, abonnement.uuid, attempts, due))

    waits("a", now + 60)
    waits("b", now + 60)
    waits("past", now - 1)
    notes.failed(abonnement.uuid, Failure(FailureClass.TIMEOUT, "the first"))
    assert not await notes.write(), "the registry is not open"
    waits("a", now + 600, attempts=2)
    async with registry:
        await registry.add_abonnement(abonnement)
        assert await notes.write()
        assert await registry.retrying() == {abonnement.uuid: Retrying(2, now + 60)}
        assert [(each.notificatie, each.attempts) for each in await registry.between_attempts("")] == [
            ("b", 1),
            ("a", 2),
        ]
        (last,) = (await registry.last_failures()).values()
        assert last.detail.endswith("the first")


async def test_so_many_are_kept_and_no_more_while_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deliverer.notes.MOST", 10)
    registry = SqliteRegistry(tmp_path / "registry.db")
    notes = Notes(registry)
    abonnement, due = an_abonnement().uuid, time.time() + 600
    for round_ in range(4):
        for number in range(7):
            notes.waits(BetweenAttempts(f"{round_}-{number}", abonnement, 1, due))
        notes.waits(BetweenAttempts("0-0", abonnement, 2 + round_, due))  # its next attempt, too
        assert not await notes.write(), "the registry is not open"
    async with registry:
        assert await notes.write()
        assert await registry.retrying() == {abonnement: Retrying(10, due)}
        assert [each.attempts for each in await registry.between_attempts("0-0")] == [5]
