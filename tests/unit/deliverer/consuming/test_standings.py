"""Which queues a deliverer looks at, and when: only what changed, whatever the number of abonnementen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from deliverer.consuming.standings import DECLARED_WITHIN, Standings
from router.changes import Hint
from schemas.abonnement import Abonnement, State
from store.registry import Changes
from tests.make import an_abonnement


class Known:
    """The catalogue's abonnementen, changed by the test."""

    def __init__(self, count: int) -> None:
        self.abonnementen = {each.uuid: each for each in (an_abonnement() for _ in range(count))}

    def put(self, abonnement: Abonnement) -> Changes:
        self.abonnementen[abonnement.uuid] = abonnement
        return changes([abonnement])

    def remove(self, uuid: UUID) -> Changes:
        del self.abonnementen[uuid]
        return changes(gone=[uuid])


def changes(changed: Sequence[Abonnement] = (), *, gone: Iterable[UUID] = ()) -> Changes:
    return Changes(number=1, abonnementen=tuple(changed), gone_abonnementen=frozenset(gone))


@pytest.fixture
def known() -> Known:
    return Known(5)


@pytest.fixture
def standings(known: Known) -> Standings:
    """All consumed on a connection that has just begun."""
    found = Standings(known)  # type: ignore[arg-type]
    found.begin()
    wanted, unwanted = found.take()
    assert sorted(wanted) == sorted(known.abonnementen)
    assert list(unwanted) == []
    for uuid in wanted:
        standing = found.get(uuid)
        assert standing is not None
        assert standing.sure
        standing.consumed()
    return found


def test_only_what_changed_is_due(known: Known, standings: Standings) -> None:
    first, second, *_ = known.abonnementen.values()
    new = an_abonnement()
    standings.changed(known.put(new))
    standings.changed(known.put(replace(first, state=State.HELD)))
    standings.changed(known.remove(second.uuid))
    wanted, unwanted = standings.take()
    assert list(wanted) == [new.uuid]
    assert sorted(unwanted) == sorted([first.uuid, second.uuid])
    assert standings.take() == ([], [])
    assert len(standings) == 4


def test_what_comes_later_is_tried_first(known: Known, standings: Standings) -> None:
    new = an_abonnement()
    standings.changed(known.put(new))
    standings.take()
    standing = standings.get(new.uuid)
    assert standing is not None
    assert not standing.sure
    assert standings.to_try([new.uuid], now=0.0) == ([new.uuid], [])


def test_what_the_router_declares_is_awaited_until_a_hint_calls_it_declared(
    known: Known, standings: Standings
) -> None:
    new = replace(an_abonnement(), kanalen_change=7)
    standings.heard(Hint(change=6))
    standings.changed(known.put(new))
    standings.take()
    assert standings.to_try([new.uuid], now=100.0) == ([], [new.uuid])

    assert standings.heard(Hint(change=7, undeclared=frozenset([new.uuid])))
    assert standings.take() == ([new.uuid], [])
    assert standings.to_try([new.uuid], now=101.0) == ([], [])  # the timer of the first time still runs

    assert standings.heard(Hint(change=7))
    assert standings.take() == ([new.uuid], [])
    assert standings.to_try([new.uuid], now=102.0) == ([new.uuid], [])
    assert not standings.heard(Hint(change=8))


def test_it_is_tried_when_no_hint_calls_it_declared_for_long(known: Known, standings: Standings) -> None:
    new = replace(an_abonnement(), kanalen_change=7)
    standings.heard(Hint(change=6))
    standings.changed(known.put(new))
    standings.take()
    standings.to_try([new.uuid], now=100.0)
    assert standings.to_try([new.uuid], now=100.0 + DECLARED_WITHIN) == ([new.uuid], [])
    # Tried once on this connection: not awaited any more.
    assert standings.to_try([new.uuid], now=101.0 + DECLARED_WITHIN) == ([new.uuid], [])


def test_what_is_removed_is_not_awaited(known: Known, standings: Standings) -> None:
    new = replace(an_abonnement(), kanalen_change=7)
    standings.heard(Hint(change=6))
    standings.changed(known.put(new))
    standings.take()
    standings.to_try([new.uuid], now=100.0)
    standings.changed(known.remove(new.uuid))
    assert standings.take() == ([], [new.uuid])
    assert not standings.heard(Hint(change=7))


def test_on_the_next_connection_all_are_sure_but_what_is_doubted(known: Known, standings: Standings) -> None:
    doubted, refused, removed, *_ = known.abonnementen
    standings.doubt([doubted])
    standing = standings.get(refused)
    assert standing is not None
    standing.refused, standing.tries = True, 3
    standings.end()
    known.remove(removed)
    standings.begin()
    wanted, unwanted = standings.take()
    assert sorted(wanted) == sorted(known.abonnementen)
    assert list(unwanted) == [removed]
    found = {uuid: standings.get(uuid) for uuid in wanted}
    assert [uuid for uuid, each in found.items() if each and not each.sure] == [doubted]
    assert [(uuid, each.tries) for uuid, each in found.items() if each and each.refused] == [(refused, 3)]


def test_what_is_consumed_is_sure_no_more(known: Known, standings: Standings) -> None:
    uuid = next(iter(known.abonnementen))
    standings.look_at([uuid])
    assert standings.take() == ([uuid], [])
    assert standings.to_try([uuid], now=0.0) == ([uuid], [])


def test_what_is_left_to_other_deliverers_is_not_wanted(known: Known, standings: Standings) -> None:
    first, second, *_ = known.abonnementen
    standings.leave_to_others({first, second})
    wanted, unwanted = standings.take()
    assert list(wanted) == []
    assert sorted(unwanted) == sorted([first, second])
    standings.leave_to_others({second})
    assert standings.take() == ([first], [])
    assert len(standings) == 4


def test_after_the_stop_nothing_is_wanted(known: Known, standings: Standings) -> None:
    standings.stop()
    wanted, unwanted = standings.take()
    assert list(wanted) == []
    assert sorted(unwanted) == sorted(known.abonnementen)
    standings.begin()
    assert standings.take() == ([], [])
