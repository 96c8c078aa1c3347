"""Filters on #actie, #resource and #hoofdObject in a request: their values and spellings."""

from __future__ import annotations

import pytest

from gateway.api.attribute_filters import Spelling, groups_of, name_faults
from gateway.api.checks import group_faults
from runtime.settings import Settings
from schemas.abonnement import FilterGroupRequest
from tests.make import a_kanaal

ZAKEN = a_kanaal("zaken", "zaaktype", "Resource")
KANALEN = {"zaken": ZAKEN}


def faults(filters: dict[str, object], spelling: Spelling = "on") -> set[tuple[str, str]]:
    data = {"kanalen": [{"naam": "zaken", "filters": filters}]}
    found = group_faults(data, KANALEN, Settings(attribute_filters=spelling))
    return {(each.name, each.code) for each in found}


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"#actie": "create"}, True),
        ({"#actie": "partial_update", "zaaktype": "x"}, True),
        ({"#actie": "*", "#Resource": "zaak", "#hoofd_object": "https://example.nl/zaken/1"}, True),
        ({"#actie": "afgesloten"}, True),
        ({"#actie": " Create"}, False),
        ({"#actie": ""}, False),
        ({"#resource": "x" * 101}, False),
        ({"#hoofdObject": "zaken/1"}, False),
    ],
)
def test_values(filters: dict[str, object], fits: bool) -> None:
    assert faults(filters) == (set() if fits else {(f"kanalen.0.filters.{next(iter(filters))}", "invalid")})


def test_they_are_unknown_kenmerken_where_they_are_off() -> None:
    unknown = {("filters", "inconsistent-abonnement-filters")}
    assert faults({"#actie": "create"}, "off") == unknown
    assert faults({"actie": "create"}) == unknown
    assert faults({"actie": "create"}, "also-plain") == set()
    assert faults({"actie": "create", "#actie": "create"}, "also-plain") == {
        ("kanalen.0.filters.#actie", "invalid")
    }


def test_a_plain_name_is_that_of_the_kenmerk_where_there_is_one() -> None:
    asked = [FilterGroupRequest(naam="zaken", filters={"actie": "create", "resource": "x", "zaaktype": "y"})]
    (plain,) = groups_of(asked, KANALEN, "also-plain")
    assert plain.filters == (("#actie", "create"), ("resource", "x"), ("zaaktype", "y"))
    (as_sent,) = groups_of(asked, KANALEN, "on")
    assert as_sent.filters == (("actie", "create"), ("resource", "x"), ("zaaktype", "y"))


def test_a_kanaal_gets_no_kenmerk_of_that_name() -> None:
    assert [each.name for each in name_faults(["a", "#Hoofd_Object"], "on")] == ["filters"]
    assert name_faults(["a", "actie"], "on") == []
    assert name_faults(["#actie"], "off") == []
