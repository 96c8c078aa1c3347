"""What an applicatie of the Autorisaties API gives here."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.autorisaties.answers import Nonsense, name_of, read_applicatie
from schemas.application import Scope

BOTH = frozenset(Scope)
PUBLICEREN, CONSUMEREN = frozenset({Scope.PUBLICEREN}), frozenset({Scope.CONSUMEREN})


def applicatie(**changes: Any) -> dict[str, Any]:
    return {"clientIds": ["x", "zrc"], "heeftAlleAutorisaties": False, "autorisaties": [], **changes}


def nrc(*scopes: Any, component: Any = "nrc") -> dict[str, Any]:
    return {"component": component, "scopes": [*scopes]}


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({}, frozenset()),
        ({"heeftAlleAutorisaties": True}, BOTH),
        ({"heeftAlleAutorisaties": True, "autorisaties": [nrc("notificaties.consumeren")]}, BOTH),
        ({"heeftAlleAutorisaties": "true"}, frozenset()),
        ({"autorisaties": [nrc("notificaties.publiceren")]}, PUBLICEREN),
        ({"autorisaties": [nrc("notificaties.scopes.consumeren")]}, CONSUMEREN),
        ({"autorisaties": [nrc("notificaties.publiceren", component="NRC")]}, PUBLICEREN),
        ({"autorisaties": [nrc("notificaties.publiceren", component="zrc")]}, frozenset()),
        ({"autorisaties": [nrc("notificaties.publiceren"), nrc("notificaties.consumeren")]}, BOTH),
        ({"autorisaties": [nrc("zaken.lezen", 1, None, "publiceren")]}, frozenset()),
        (
            {"autorisaties": [nrc(component=None), "x", None, {"component": "zrc", "zaaktype": []}]},
            frozenset(),
        ),
    ],
)
def test_scopes(changes: dict[str, Any], scopes: frozenset[Scope]) -> None:
    found = read_applicatie(applicatie(veldVanEenAnder=1, **changes), "zrc")
    assert (found.known, found.scopes) == (True, scopes)


def test_without_autorisaties_it_gives_nothing() -> None:
    found = read_applicatie({"clientIds": ["zrc"], "url": 1, "label": None}, "zrc")
    assert (found.scopes, found.url, found.label, found.all_rights) == (frozenset(), "", "", False)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"count": 0, "results": []},
        applicatie(clientIds=["another"]),
        applicatie(clientIds="zrc"),
        applicatie(autorisaties={}),
        applicatie(autorisaties=None),
        applicatie(autorisaties=[{"component": "nrc", "scopes": "notificaties.publiceren"}]),
        applicatie(autorisaties=[{"component": "nrc"}]),
    ],
)
def test_nonsense(content: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        read_applicatie(content, "zrc")


def test_an_applicatie_has_the_same_name_under_another_host() -> None:
    assert name_of("https://ac/api/v1/applicaties/AB-1") == name_of("http://10.0.0.1/x/applicaties/ab-1/?a=b")
    assert name_of("") == ""
