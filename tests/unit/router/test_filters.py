"""The predicate and the names check, row by row (STANDARD: Matching)."""

from __future__ import annotations

import pytest

from router.matching.filters import matches, names_fit
from schemas.notificatie import values_of
from tests.make import an_abonnement


@pytest.mark.parametrize(
    ("groups", "kenmerken", "expected"),
    [
        ([("zaken", {})], {"a": "1"}, True),
        ([("zaken", {"a": "1"})], {"a": "1"}, True),
        ([("zaken", {"a": "1"})], {"a": "2"}, False),
        ([("zaken", {"a": "x"})], {"a": "X"}, False),
        ([("zaken", {"a": "1", "b": "2"})], {"a": "1", "b": "2"}, True),
        ([("zaken", {"a": "1", "b": "2"})], {"a": "1", "b": "3"}, False),
        ([("zaken", {"a": "1"})], {}, True),
        ([("zaken", {"a": "1"})], {"b": "2"}, True),
        ([("zaken", {"a": "1", "b": "2"})], {"a": "1"}, True),
        ([("zaken", {"a": "*"})], {"a": "anything"}, True),
        ([("zaken", {"a": "a*"})], {"a": "abc"}, False),
        ([("zaken", {"a": ""})], {"a": ""}, True),
        ([("zaken", {"a": ""})], {"a": "1"}, False),
        ([("zaken", {"object_type": "t"})], {"objectType": "t"}, True),
        ([("zaken", {"object_type": "t"})], {"objectType": "u"}, False),
        ([("zaken", {"zaaktype.catalogus": "c"})], {"zaaktype.catalogus": "d"}, False),
        ([("zaken", {"a": "1"}), ("zaken", {"a": "2"})], {"a": "2"}, True),
        ([("besluiten", {}), ("zaken", {"a": "1"})], {"a": "2"}, False),
        ([("besluiten", {})], {"a": "1"}, False),
        ([], {"a": "1"}, False),
    ],
)
def test_matches(groups: list[tuple[str, dict[str, str]]], kenmerken: dict[str, str], expected: bool) -> None:
    assert matches(an_abonnement(*groups), "zaken", kenmerken) is expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"#actie": "create"}, True),
        ({"#ACTIE": "create", "a": "1"}, True),
        ({"#actie": "destroy"}, False),
        ({"#actie": "*", "#resource": "zaak"}, True),
        ({"#resource": "status"}, False),
        ({"#hoofdObject": "https://example.nl/zaken/1"}, True),
        ({"#hoofdObject": "https://example.nl/zaken/2"}, False),
    ],
)
def test_attributes_of_a_body(filters: dict[str, str], expected: bool) -> None:
    body = (
        b'{"kanaal": "zaken", "actie": "create", "resource": "zaak", "kenmerken": {"a": "1", "#actie": "x"},'
        b' "hoofdObject": "https://example.nl/zaken/1"}'
    )
    values = values_of(body)
    assert values is not None
    assert matches(an_abonnement(("zaken", filters)), "zaken", values) is expected


@pytest.mark.parametrize(
    ("names", "filters", "expected"),
    [
        ([], ["a"], True),
        (["a"], [], True),
        (["a"], ["a", "b"], True),
        (["a", "b"], ["a"], True),
        (["a", "c"], ["a", "b"], False),
        (["c"], ["a"], False),
        (["objectType"], ["object_type"], True),
    ],
)
def test_names_fit(names: list[str], filters: list[str], expected: bool) -> None:
    assert names_fit(names, filters) is expected
