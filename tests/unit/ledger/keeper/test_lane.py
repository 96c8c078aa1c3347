"""The pace at which bulk goes into the queue of one abonnement, and what of it could not be given yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from ledger.keeper import lane
from ledger.keeper.lane import FEWEST, MOST, Lane, Pace
from ledger.keeper.lease import Lease
from ledger.ledger import Ledger
from ledger.values import Cause, Delivery, PassedOn, Unrouted
from schemas.abonnement import State
from schemas.errors import BrokerUnavailable
from tests.contract.stores.opened import ledger_in
from tests.contract.stores.test_ledger import AT, an_entry
from tests.eventually import eventually


def test_a_queue_gets_more_while_it_takes_all_and_less_when_it_does_not() -> None:
    pace = Pace()
    assert [pace.next(0) for _ in range(5)] == [20, 40, 80, MOST, MOST]
    assert pace.next(30) == MOST - 30
    assert pace.next(60) == 0  # more than half is left: half as many from here on
    assert [pace.next(50) for _ in range(4)] == [0, 0, 0, 0]
    assert pace.next(5) == FEWEST - 5


def test_a_slow_one_never_has_more_than_twice_the_fewest() -> None:
    pace, ready = Pace(), 0
    for _ in range(100):
        ready += pace.next(ready)
        assert ready <= 2 * FEWEST
        ready = max(0, ready - 1)


class AwayAtFirst:
    """Gives nothing the first time, as while a gap is open or RabbitMQ is away, and all after that.

    given: the notificaties, in the order in which they were given.
    """

    def __init__(self, lease: Lease, *, raises: bool) -> None:
        self._lease = lease
        self._raises = raises
        self._tries = 0
        self.given: list[UUID] = []

    async def give(self, ledger: Ledger, rows: Sequence[Delivery], *, cause: Cause, full: set[UUID]) -> None:
        self._tries += 1
        if self._tries == 1 and self._raises:
            raise BrokerUnavailable("away")
        if self._tries == 1:
            full |= {row.key.abonnement for row in rows}
            return
        epoch = await self._lease.keep(ledger.keeping)
        for row in await ledger.keeping.give_back(epoch, rows, cause=cause):
            self.given.append(row.key.notificatie)


@pytest.mark.parametrize("raises", [False, True])
async def test_what_could_not_be_given_is_given_first_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, raises: bool
) -> None:
    for name in ("TICK", "IDLE", "LOOK_AGAIN", "CLEAR"):
        monkeypatch.setattr(lane, name, 0.01)
    one, lease = uuid4(), Lease()
    giving = AwayAtFirst(lease, raises=raises)
    entries = [
        an_entry(one, at=AT + number, passed_on=PassedOn("b", "c", lane=True)) for number in range(2 * FEWEST)
    ]
    async with ledger_in(str(tmp_path / "ledger.db")) as ledger:
        for entry in entries:
            await ledger.write([entry, Unrouted(entry.id, lane=True)])
        await lease.take(ledger.keeping)
        parts: Any = {
            "ledger": SimpleNamespace(ledger=ledger),
            "giving": giving,
            "catalogue": SimpleNamespace(everyone={one: SimpleNamespace(state=State.ACTIVE)}),
            "publisher": SimpleNamespace(ready=True),
        }
        stop = asyncio.Event()
        running = asyncio.create_task(Lane(lease=lease, **parts).run(stop))
        try:
            await eventually(lambda: len(giving.given) == len(entries))
        finally:
            stop.set()
            await running
    assert giving.given == [entry.id for entry in entries]


async def test_an_abonnement_that_is_removed_meanwhile_does_not_end_the_keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TICK", "IDLE", "LOOK_AGAIN", "CLEAR"):
        monkeypatch.setattr(lane, name, 0.01)
    lease = Lease()
    giving = AwayAtFirst(lease, raises=False)
    async with ledger_in(str(tmp_path / "ledger.db")) as ledger:
        abonnementen = [uuid4() for _ in range(3)]
        for uuid in abonnementen:
            entry = an_entry(uuid, passed_on=PassedOn("b", "c", lane=True))
            await ledger.write([entry, Unrouted(entry.id, lane=True)])
        await lease.take(ledger.keeping)
        everyone = {uuid: SimpleNamespace(state=State.ACTIVE) for uuid in abonnementen}
        parts: Any = {
            "ledger": SimpleNamespace(ledger=ledger),
            "giving": giving,
            "catalogue": SimpleNamespace(everyone=everyone),
            "publisher": SimpleNamespace(ready=True),
        }
        of_lane = ledger.keeping.of_lane
        kept: list[UUID] = []

        async def removed(uuid: UUID, *, begin: UUID, limit: int) -> Sequence[Delivery]:
            kept.append(uuid)
            for each in abonnementen:
                if each != kept[0]:
                    everyone.pop(each, None)
            return await of_lane(uuid, begin=begin, limit=limit)

        monkeypatch.setattr(ledger.keeping, "of_lane", removed)
        stop = asyncio.Event()
        running = asyncio.create_task(Lane(lease=lease, **parts).run(stop))
        try:
            await eventually(lambda: running.done() or len(giving.given) == 1)
        finally:
            stop.set()
            await running
        assert {*kept} == {kept[0]}
