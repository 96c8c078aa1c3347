"""Delivery options: what may stand in them, where it comes from, and how it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.delivery_options import DeliveryOptions
from schemas.fields import parse
from schemas.jsontext import Number


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, {}),
        ({"rate": 5}, {"rate": 5}),
        ({"rate": Number("5.0")}, {"rate": 5}),  # as read from a body
        ({"rate": "0.5", "concurrency": "2"}, {"rate": 0.5, "concurrency": 2}),  # as from a setup file
        ({"rate": None}, {}),
        ({"order": {}}, {"order": {}}),
        ({"order": {"setAsideAfter": "900"}}, {"order": {"setAsideAfter": 900}}),
    ],
)
def test_what_is_taken_is_kept(asked: dict[str, Any], kept: dict[str, Any]) -> None:
    options, faults = parse(DeliveryOptions, asked)
    assert options is not None, faults
    assert options.as_given() == kept
    assert (options.names, bool(options)) == (tuple(kept), bool(kept))
    assert DeliveryOptions.of_text(options.text()) == options


@pytest.mark.parametrize(
    ("asked", "name", "reason"),
    [
        ({"rate": 0}, "rate", "getal van 0,01 tot en met 10000 (verzoeken per seconde)"),
        ({"rate": "snel"}, "rate", "getal van"),
        ({"rate": True}, "rate", "getal van"),
        ({"rate": "nan"}, "rate", "getal van"),
        ({"rate": [5]}, "rate", "getal van"),
        ({"rate": Number("1e400")}, "rate", "getal van"),
        ({"concurrency": 1.5}, "concurrency", "geheel getal van 1 tot en met 1000 (verzoeken tegelijk)"),
        ({"concurrency": -1}, "concurrency", "geheel getal"),
        ({"consolidate": 0}, "consolidate", "geheel getal van 1 tot en met 86400 (seconden)"),
        ({"order": True}, "order.nonFieldErrors", ""),
        ({"order": {"setAsideAfter": 0}}, "order.setAsideAfter", "getal van 1 tot en met 2592000 (seconden)"),
        ({"order": {"opzij": 5}}, "order.opzij", "bestaat hier niet"),
        ({"snelheid": 5}, "snelheid", "bestaat hier niet"),
    ],
)
def test_what_is_refused_says_what_it_may_be(asked: dict[str, Any], name: str, reason: str) -> None:
    options, faults = parse(DeliveryOptions, asked)
    (fault,) = faults
    assert (options, fault.name) == (None, name)
    assert reason in fault.reason


def test_what_a_newer_program_added_is_left_out() -> None:
    assert DeliveryOptions.of_text("") is None
    assert DeliveryOptions.of_text('{"rate": 5, "fromLater": {}}') == DeliveryOptions(rate=5)
