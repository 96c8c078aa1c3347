"""Routing keys, headers and names, with the longest and strangest of everything."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from router import names
from router.routing import header_name, header_value, needed, route, routing_key
from schemas.kanaal import MAX_SLOTS, Kanaal, slots_for
from schemas.notificatie import Notificatie
from tests.make import a_kanaal

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def notificatie(kanaal: str, kenmerken: dict[str, str], *, resource: str = "zaak") -> Notificatie:
    return Notificatie(kanaal=kanaal, resource=resource, actie="create", kenmerken=kenmerken, body=b"{}")


def test_a_key_always_has_two_words_and_one_per_slot() -> None:
    kanaal = a_kanaal("zaken", "bronorganisatie", "zaaktype")
    message = route(kanaal, notificatie("zaken", {"bronorganisatie": "1"}), message_id="i", accepted_at=NOW)
    assert message.routing_key.split(".") == ["zaak", "create", names.word("1"), *["-"] * 13]
    assert message.headers == {"k.bronorganisatie": "1"}
    assert message.exchange == "nrc.kanaal.zaken"


@pytest.mark.parametrize(
    ("resource", "kept"),
    [
        ("zaak", True),
        ("zaak_object-1", True),
        ("z" * 30, True),
        ("z" * 31, False),
        ("a.b", False),
        ("*", False),
    ],
)
def test_a_plain_resource_stands_as_it_is(resource: str, kept: bool) -> None:
    first = routing_key(resource, "create", (), {}).split(".")[0]
    assert first == (resource if kept else names.word(resource))


def test_the_longest_of_everything_fits_in_255_bytes() -> None:
    slots = tuple(f"slot{number}" for number in range(MAX_SLOTS))
    key = routing_key("é" * 100, "x" * 30, slots, dict.fromkeys(slots, "🙂" * 1000))
    assert len(key.encode()) <= 229
    assert len(key.split(".")) == 16


def test_headers_are_the_slots_that_the_message_has_under_a_name_of_their_own() -> None:
    kanaal = a_kanaal("k", "x-match", "CC", "object_type", "lang" * 25, "é" * 100)
    kenmerken = {
        "x-match": "any",
        "cc": "a",
        "objectType": "b",
        "lang" * 25: "c",
        "é" * 100: "d",
        "vrij": "e",
    }
    message = route(kanaal, notificatie("k", kenmerken), message_id="i", accepted_at=NOW)
    assert message.headers == {
        "k.x-match": "any",
        "k.cc": "a",
        "k.objecttype": "b",
        "k." + "lang" * 25: "c",
        "k.~" + names.word("é" * 100): "d",
    }
    assert all(len(name.encode()) < 128 for name in message.headers)


def test_of_many_kenmerken_those_with_a_slot_or_a_filter_are_kept() -> None:
    kanaal = a_kanaal("zaken", "bron_organisatie", "zaaktype")
    kenmerken = {f"k{number}": "1" for number in range(1000)} | {"Bronorganisatie": "7", "zaak_type": "8"}
    kept = needed(kanaal, kenmerken, filtered={"k12", "zaaktype"})
    assert kept == {"k12": "1", "Bronorganisatie": "7", "zaak_type": "8"}
    whole, small = (
        route(kanaal, notificatie("zaken", each), message_id="1", accepted_at=NOW)
        for each in (kenmerken, kept)
    )
    assert whole == small


def test_a_long_value_goes_as_its_word() -> None:
    assert header_value("a" * 128) == "a" * 128
    assert header_value("a" * 129) == "~" + names.word("a" * 129)
    assert header_value("é" * 65) == "~" + names.word("é" * 65)
    assert header_name("a" * 101) == "k.~" + names.word("a" * 101)


@pytest.mark.parametrize(
    "naam", ["zaken", "a.b:c-d_e", "met spatie", "é", "🙂" * 50, "x" * 50, "#", "*", "~x"]
)
def test_an_exchange_name_is_one_that_the_client_library_takes(naam: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.:@-]{1,127}", names.kanaal_exchange(naam))


def test_exchange_names_of_different_kanalen_differ() -> None:
    namen = ["zaken", "Zaken", "za ken", "za  ken", "@zaken", names.word("é"), "é", "@" + names.word("é")]
    assert len({names.kanaal_exchange(naam) for naam in namen}) == len(namen)


def test_slots_are_append_only_distinct_and_leave_the_last_one_to_hoofdobject() -> None:
    first = slots_for(["object_type", "objectType", "b"])
    assert first == ("objecttype", "b")
    assert slots_for(["c", "b"], first) == ("objecttype", "b", "c")
    many = slots_for([f"n{number}" for number in range(100)], first)
    assert many[:2] == first
    assert len(many) == MAX_SLOTS - 1
    of_an_older_version = (*many, "n99")
    assert slots_for(["more"], of_an_older_version) == of_an_older_version


def test_hoofdobject_has_the_last_word_only_while_a_filter_asks_it() -> None:
    kanaal = a_kanaal("k", "a")
    one = replace(notificatie("k", {"a": "1"}), hoofd_object="https://example.nl/zaken/1")
    plain, asked = (
        route(kanaal, one, message_id="i", accepted_at=NOW, filtered=filtered)
        for filtered in ({"a", "#actie"}, {"#hoofdobject"})
    )
    assert plain.headers == {"k.a": "1"}
    assert plain.routing_key.endswith(".-")
    assert asked.headers == {"k.a": "1", "k.#hoofdobject": "https://example.nl/zaken/1"}
    assert asked.routing_key.split(".")[-1] == names.word("https://example.nl/zaken/1")
    full = replace(kanaal, slots=tuple(f"n{number}" for number in range(MAX_SLOTS)))
    other = route(full, one, message_id="i", accepted_at=NOW, filtered={"#hoofdobject"})
    assert other.routing_key.endswith(".-")
    assert other.headers == {}


def test_a_kanaal_that_this_process_has_an_old_copy_of_gives_absent() -> None:
    old: Kanaal = a_kanaal("k", "a")
    message = route(old, notificatie("k", {"a": "1", "b": "2"}), message_id="i", accepted_at=NOW)
    assert message.routing_key.split(".")[2:4] == [names.word("1"), "-"]
    assert "k.b" not in message.headers
