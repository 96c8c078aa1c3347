"""The index gives the same as the predicate, whatever was put in and removed before."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalogue import Catalogue
from router.matching import index as module
from router.matching.filters import matches
from router.matching.index import Index, is_large, rows_of
from schemas.abonnement import Abonnement, FilterGroup, Hold, State
from schemas.fields import normalise
from schemas.notificatie import Notificatie
from store.opening import open_registry
from tests.make import a_kanaal, an_abonnement

UUIDS = [uuid4() for _ in range(8)]
NAMEN = ["zaken", "Zaken", "a.b"]
# Equal after normalising, or special in other products, or more than there are slots.
NAMES = ["a", "A", "a_", "b", "object_type", "objectType", "#actie", "#resource", "kanaal", "İ", "é", ""]
NAMES += [f"slot_{number}" for number in range(16)]
VALUES = ["", "*", "1", "2", "-", "None", "a*"]

Step = Abonnement | UUID | tuple[str, dict[str, str]]


@st.composite
def steps_of(draw: st.DrawFn) -> list[Step]:
    """Abonnementen put in and taken out, and messages: on few names and values, so that they often meet."""
    names = st.sampled_from(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3) | st.just(NAMES)))
    values = st.sampled_from(draw(st.just(["1", "2"]) | st.just(VALUES)))
    namen = st.sampled_from(draw(st.just(["zaken"]) | st.just(NAMEN)))
    # A list of pairs: in one group a name may ask two values, by two spellings or twice by one.
    few = st.lists(st.tuples(names, values), max_size=4).map(tuple)
    many = st.just(tuple((name, "1") for name in NAMES[12:]))
    groups = st.lists(st.builds(FilterGroup, namen, few | few | few | many), max_size=4)
    abonnementen = st.builds(
        an_abonnement_with,
        st.sampled_from(UUIDS),
        groups | groups.map(lambda some: some * 2),
        st.sampled_from(State),
    )
    kenmerken = st.dictionaries(names, values, max_size=6) | st.just(dict.fromkeys(NAMES, "1"))
    messages = st.tuples(namen, kenmerken)
    put = st.lists(abonnementen, max_size=8)
    return [
        *draw(put),
        *draw(st.lists(messages, max_size=3)),
        *draw(put),
        *draw(st.lists(abonnementen | st.sampled_from(UUIDS) | messages, max_size=20)),
        *draw(st.lists(messages, min_size=3, max_size=10)),
    ]


def an_abonnement_with(uuid: UUID, kanalen: list[FilterGroup], state: State) -> Abonnement:
    hold = Hold(1.0, 0, 2.0) if state is State.HELD else None
    return replace(an_abonnement(), uuid=uuid, kanalen=tuple(kanalen), state=state, hold=hold)


def check(index: Index, there: dict[UUID, Abonnement], kanaal: str, kenmerken: dict[str, str]) -> None:
    about = Notificatie(kanaal, "1", "2", kenmerken, b"")
    found = index.matching(kanaal, kenmerken, about)
    assert len(found) == len(set(found))
    assert set(found) == {
        uuid for uuid, each in there.items() if matches(each, kanaal, {**kenmerken, **about.attributes})
    }
    # What the index does not name makes no difference.
    counting = {name: value for name, value in kenmerken.items() if normalise(name) in index.names(kanaal)}
    assert {*index.matching(kanaal, counting, about)} == {*found}


@settings(max_examples=60, deadline=None)
@given(most=st.sampled_from([0, 1, 3, 64]), steps=steps_of())
def test_it_equals_the_predicate(most: int, steps: list[Step]) -> None:
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr(module, "MOST_VIEWS", most)
        index, there = Index(), dict[UUID, Abonnement]()
        for step in steps:
            match step:
                case Abonnement():
                    index.put(step)
                    there[step.uuid] = step
                case UUID():
                    index.remove(step)
                    there.pop(step, None)
                case kanaal, kenmerken:
                    check(index, there, kanaal, kenmerken)
            assert len(index._groups) == len(there)
        for uuid in UUIDS:
            index.remove(uuid)
        assert not index._kanalen


def test_every_set_of_absent_names_and_more_than_there_is_room_for() -> None:
    names = [f"n{number}" for number in range(8)]
    there = {}
    index = Index()
    for number in range(300):
        filters = {name: str(number >> at & 1) for at, name in enumerate(names)}
        each = an_abonnement(("zaken", filters), ("zaken", {**filters, "n0": "2"}))
        there[each.uuid] = each
        index.put(each)
    built: list[set[frozenset[str]]] = []
    for absent in product([False, True], repeat=len(names)):
        check(
            index, there, "zaken", {name: "1" for name, gone in zip(names, absent, strict=True) if not gone}
        )
        views = index._kanalen["zaken"].views
        assert len(views) <= module.MOST_VIEWS
        built.append({*views})
    # Those that came first made room for others.
    assert built[1] and not built[1] & built[-1]


def test_views_follow_each_change() -> None:
    index = Index()
    one, other = (an_abonnement(("zaken", {"a": "1", "b": "1"})) for _ in range(2))
    index.put(one)
    there = {one.uuid: one}
    check(index, there, "zaken", {"a": "1"})
    twice = replace(other, kanalen=(*other.kanalen, FilterGroup("zaken", (("a", "1"), ("b", "2")))))
    for each in (other, twice, twice, other):
        index.put(each)
        check(index, {**there, each.uuid: each}, "zaken", {"a": "1"})
    index.put(twice)
    index.remove(twice.uuid)
    check(index, there, "zaken", {"a": "1"})


def test_fewer_views_of_what_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 20)
    monkeypatch.setattr(module, "LEAST_VIEWS", 1)
    index = Index()
    there = {}
    for number in range(12):
        each = an_abonnement(("zaken", {"a": str(number), "b": "1", "c": "1"}))
        there[each.uuid] = each
        index.put(each)
        assert len(index._kanalen["zaken"].views) * len(index._groups) <= max(20, len(index._groups))
        for kenmerken in ({}, {"a": "1"}, {"b": "1"}, {"a": "1", "c": "2"}, {"b": "2"}):
            check(index, there, "zaken", kenmerken)


def test_the_same_kanalen_again_change_nothing() -> None:
    index = Index()
    each = an_abonnement(("zaken", {"a": "1"}), ("zaken", {}))
    index.put(each)
    before = index._kanalen["zaken"]
    index.put(replace(each, kanalen=tuple(each.kanalen), state=State.SUSPENDED, change=9, auth="y"))
    assert index._kanalen["zaken"] is before
    index.put(replace(each, kanalen=()))
    assert index.matching("zaken", {}) == ()
    assert len(index._groups) == 1


async def test_a_catalogue_keeps_its_index_up_to_date(tmp_path: Path) -> None:
    async with open_registry(tmp_path / "registry.db") as registry:
        await registry.add_kanaal(a_kanaal("zaken"))
        early, late = (an_abonnement(("zaken", {"a": "1"})) for _ in range(2))
        await registry.add_abonnement(early)
        catalogue = Catalogue(registry, refresh_interval=60)
        await catalogue.refresh()
        assert catalogue.index.matching("zaken", {"a": "1"}) == (early.uuid,)
        await registry.add_abonnement(late)
        await catalogue.refresh()
        assert {*catalogue.index.matching("zaken", {"a": "1"})} == {early.uuid, late.uuid}
        await registry.change_abonnement(early.uuid, lambda each: replace(each, kanalen=()))
        await registry.set_state(late.uuid, State.SUSPENDED, "410")
        await catalogue.refresh()
        assert catalogue.index.matching("zaken", {"a": "1"}) == (late.uuid,)
        await registry.remove_abonnement(late.uuid)
        await catalogue.refresh()
        assert catalogue.index.matching("zaken", {}) == ()
    # Another registry, or one that remembers no removal: all that there is comes at once.
    async with open_registry(tmp_path / "other.db") as other:
        catalogue._registry = other
        await catalogue.refresh()
        assert len(catalogue.index._groups) == 0


def test_a_shape_that_nothing_has_any_more_takes_no_room() -> None:
    index = Index()
    one, other = an_abonnement(("zaken", {"a": "1", "b": "1"})), an_abonnement(("zaken", {"a": "1"}))
    index.put(one)
    index.put(other)
    check(index, {one.uuid: one, other.uuid: other}, "zaken", {"a": "1", "b": "1"})
    index.remove(one.uuid)
    assert not index._kanalen["zaken"].views
    assert set(index.names("zaken")) == {"a"}
    check(index, {other.uuid: other}, "zaken", {"a": "1", "b": "1"})
    assert set(index._kanalen["zaken"].views) == {frozenset({"a"})}


def test_a_large_abonnement_comes_changes_and_goes() -> None:
    index = Index()
    groups = [("zaken", {f"f{number}": str(group) for number in range(100)}) for group in range(30)]
    large = an_abonnement(*groups)
    assert is_large(large.kanalen)
    index.put(large, rows_of(large.kanalen))
    assert index.matching("zaken", {"F_1": "29"}) == (large.uuid,)
    index.put(replace(large, kanalen=large.kanalen[:10]))
    assert index.matching("zaken", {"f1": "29"}) == ()
    assert index.matching("zaken", {"f1": "9"}) == (large.uuid,)
    index.put(replace(large, kanalen=large.kanalen))
    index.remove(large.uuid)
    assert index.matching("zaken", {"f1": "9"}) == ()
    assert not index.names("zaken")
