"""What an inbox answers: the settings as texts and as JSON, and the decision."""

from __future__ import annotations

from typing import Any

import pytest

from inbox.behaviour import Answer, Behaviour, as_json, decide, read_behaviour
from schemas.errors import ValidationError

GOOD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("behaviour", "given", "status"),
    [
        (Behaviour(), None, 401),
        (Behaviour(), "", 401),
        (Behaviour(), "Token x", 204),
        (Behaviour(authorization="none"), None, 204),
        (Behaviour(authorization="Token é"), "Token é", 204),
        (Behaviour(authorization="Token x"), "token x", 401),
        (Behaviour(authorization="Token x"), None, 401),
        (Behaviour(status=503), "Token x", 503),
        (Behaviour(status=503), None, 401),
        (Behaviour(reset=True), "Token x", None),
        (Behaviour(reset=True), None, 401),
    ],
)
def test_the_status(behaviour: Behaviour, given: str | None, status: int | None) -> None:
    assert decide(behaviour, authorization=given, is_check=False, dice=0.0).status == status


@pytest.mark.parametrize(
    "bad", [Behaviour(status=500), Behaviour(reset=True), Behaviour(fail=100), Behaviour(delay=9, drip=9)]
)
def test_the_test_message_is_answered_as_by_a_good_callback(bad: Behaviour) -> None:
    answer = decide(bad, authorization="Token x", is_check=True, dice=0.0)
    assert (answer.status, answer.delay, answer.drip) == (204, 0, 0)
    assert decide(bad, authorization=None, is_check=True, dice=0.0).status == 401


def test_so_many_percent_fail() -> None:
    behaviour = Behaviour(fail=25, delay=1, drip=2)
    statuses = [decide(behaviour, authorization="x", is_check=False, dice=dice).status for dice in range(100)]
    assert statuses == [500] * 25 + [204] * 75
    assert decide(behaviour, authorization="x", is_check=False, dice=0) == Answer(
        500, "mislukt, zoals ingesteld voor 25% van de verzoeken", delay=1, drip=2
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Behaviour()),
        ({"status": "503", "delay": "1,5", "fail": "20", "drip": "2.5"}, Behaviour("any", 503, 1.5, 20, 2.5)),
        ({"status": 200, "delay": 1, "reset": True}, Behaviour(status=200, delay=1, reset=True)),
        ({"reset": "on"}, Behaviour(reset=True)),
        ({"reset": "false"}, Behaviour()),
        ({"authorization": " Token x "}, Behaviour(authorization="Token x")),
        ({"secret": GOOD}, Behaviour(secret=GOOD)),
    ],
)
def test_settings_are_read(values: dict[str, Any], expected: Behaviour) -> None:
    assert read_behaviour(values, Behaviour()) == expected


def test_what_is_not_named_stays() -> None:
    base = Behaviour(authorization="Token x", status=500, secret=GOOD)
    assert read_behaviour({"status": "200"}, base) == Behaviour("Token x", 200, secret=GOOD)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("status", value) for value in ("", "abc", "199", "600", "-1", "2e2", "²", 10**9, True, None, [])),
        *(("delay", value) for value in ("", "x", "-1", "121", "nan", "inf", True, None, {})),
        *(("drip", value) for value in ("1e9", "0x1")),
        *(("fail", value) for value in ("101", "1.5", "-1")),
        *(("authorization", value) for value in ("", " ", "a\nb", "a\x00", "x" * 16385, 5, None)),
        *(("reset", value) for value in ("ja", 2, None)),
        *(("secret", value) for value in ("geheim", "whsec_", "whsec_***", 5, None)),
    ],
)
def test_what_is_wrong_is_told(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        read_behaviour({name: value, "status": 99} if name != "status" else {name: value}, Behaviour())
    told = {param.name: param.reason for param in raised.value.invalid_params}
    assert set(told) == {name, "status"}, "all at once"
    assert told[name].startswith("Vul ")


def test_unknown_names_are_wrong_but_in_the_address_of_a_callback() -> None:
    with pytest.raises(ValidationError) as raised:
        read_behaviour({"stauts": "500"}, Behaviour())
    assert [(each.name, each.code) for each in raised.value.invalid_params] == [
        ("stauts", "unknown-parameters")
    ]
    assert read_behaviour({"token": "x"}, Behaviour(), others=True) == Behaviour()


def test_the_secret_is_not_told() -> None:
    told = as_json(Behaviour(secret=GOOD))
    assert told.pop("secret") is True
    assert read_behaviour(told, Behaviour(status=500)) == Behaviour()
