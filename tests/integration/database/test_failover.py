"""A standby took over that lacks the last commits: what processes had open before has no gap afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.ledger import Ledger
from ledger.postgresql import clock
from ledger.values import Entry, Search, Unrouted
from router.catalogue import Catalogue
from schemas.fields import EVENTS
from schemas.kanaal import Kanaal
from store.database.address import address_at
from store.postgresql.registry import PostgresqlRegistry
from store.registry import Registry
from store.secrets import Vault
from tests.contract.stores.opened import KEY, ledger_in
from tests.contract.stores.test_ledger import an_entry, an_outcome
from tests.databases.failover import pair
from tests.databases.postgresql import MISSING, binaries

LOST = 3
"""Changes of the registry that the standby lacks."""


@dataclass
class FailedOver:
    """What was open before the standby took over, and is.

    deliverer: of a server that does not tell its timeline. early, late: copies of the registry as it was
    on the primary.
    """

    gateway: Ledger
    deliverer: Ledger
    registry: Registry
    early: Catalogue
    late: Catalogue
    mine: UUID = field(default_factory=uuid4)
    entries: list[Entry] = field(default_factory=list)


@pytest.fixture(scope="module")
async def failed_over() -> AsyncIterator[FailedOver]:
    if binaries() is None:
        pytest.skip(MISSING)
    async with pair() as servers, AsyncExitStack() as opened:
        at = address_at(servers.url)
        registry = PostgresqlRegistry(at, vault=Vault([KEY], Path("/nowhere")), patience=60)
        await opened.enter_async_context(registry)
        gateway = await opened.enter_async_context(ledger_in(servers.url))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "TIMELINE", "not_for_this_user()")
            deliverer = await opened.enter_async_context(ledger_in(servers.url))
        early, late = (Catalogue(registry, refresh_interval=60) for _ in range(2))
        of = FailedOver(gateway, deliverer, registry, early, late)
        of.entries = [an_entry(of.mine) for _ in range(20)]

        await gateway.write(of.entries[:5])
        await deliverer.write([an_outcome(of.entries[0], of.mine)])
        await registry.add_kanaal(a_kanaal("kept"))
        await servers.attach()
        await servers.stop_sending()
        await gateway.write([*of.entries[5:], Unrouted(of.entries[9].id)])
        await deliverer.write([an_outcome(each, of.mine) for each in of.entries[:15]])
        for nr in range(LOST):
            await registry.add_kanaal(a_kanaal(f"lost {nr}"))
        for each in (early, late):
            await each.refresh()
        await servers.fail_over(after=0)
        yield of


def a_kanaal(naam: str) -> Kanaal:
    return Kanaal(uuid4(), naam, "", (), ())


async def test_what_the_standby_lacks_of_the_ledger_is_written_by_who_wrote_it(
    failed_over: FailedOver,
) -> None:
    gateway, deliverer = failed_over.gateway, failed_over.deliverer
    assert await gateway.notificatie(failed_over.entries[9].id) is None, "the standby lacks nothing"
    await gateway.write([])
    assert len(await gateway.search(Search(), limit=100)) == 20
    assert await gateway.keeping.unrouted_count() == 1
    assert (await gateway.backlogs())[failed_over.mine].count > 5
    await deliverer.write([])
    assert (await gateway.backlogs())[failed_over.mine].count == 5


def names_of(copy: Catalogue) -> set[str]:
    """Of the kanalen that were made; that of CloudEvents is always there."""
    return set(copy.kanalen) - {EVENTS}


async def test_no_copy_of_the_registry_keeps_what_the_standby_lacks_or_misses_what_came_after(
    failed_over: FailedOver,
) -> None:
    registry, early, late = failed_over.registry, failed_over.early, failed_over.late
    assert names_of(late) == {"kept", *(f"lost {nr}" for nr in range(LOST))}
    await early.refresh()
    assert names_of(early) == {"kept"}, "it looked before anything was changed again"
    seen = late.number
    for nr in range(LOST):
        added = await registry.add_kanaal(a_kanaal(f"new {nr}"))
        assert added.change > seen, "what was matched with the lost changes counts as matched before these"
    for each in (early, late):
        await each.refresh()
        assert names_of(each) == {"kept", *(f"new {nr}" for nr in range(LOST))}
        assert each.number == await registry.change_number()
    assert (await registry.changes_since(late.number)).whole is False
    assert (await registry.add_kanaal(a_kanaal("one more"))).change == late.number + 1
