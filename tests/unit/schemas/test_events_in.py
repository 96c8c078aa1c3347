"""Which CloudEvents are accepted, in which forms, and that nothing of them changes. The SDK is the judge."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas.errors import ParseError
from schemas.events.binary import as_binary, read_binary
from schemas.events.event import TYPE, Event, address_of, event_values, is_event
from schemas.events.structured import MOST_IN_BATCH, read_batch, read_structured
from schemas.notificatie import read_accepted

EVENT = {
    "specversion": "1.0",
    "id": "9f2b",
    "source": "urn:nld:oin:00000001823288444000:systeem:zaken",
    "type": "nl.overheid.zaken.zaak-geopend",
}


def sent(**more: Any) -> bytes:
    return json.dumps({**EVENT, **more}).encode()


def event_of(body: bytes) -> Event:
    event, faults = read_structured(body)
    assert event is not None, faults
    return event


@pytest.mark.parametrize(
    ("more", "name", "told"),
    [
        ({"id": None}, "id", "verplicht"),
        ({"id": ""}, "id", "leeg"),
        ({"id": 12}, "id", "tekst"),
        ({"id": True}, "id", "tekst"),
        ({"id": "x" * 2001}, "id", "2000"),
        ({"source": "een bron"}, "source", "URI"),
        ({"source": "a\nb"}, "source", "Stuurtekens"),
        ({"type": " "}, "type", "leeg"),
        ({"specversion": "0.3"}, "specversion", "1.0"),
        ({"time": "2026-01-31"}, "time", "RFC 3339"),
        ({"time": "2026-01-31T12:00:00"}, "time", "RFC 3339"),
        ({"subject": ""}, "subject", "leeg"),
        ({"dataschema": "/relatief"}, "dataschema", "volledige URI"),
        ({"datacontenttype": "json"}, "datacontenttype", "mediatype"),
        ({"Extra": "x"}, "Extra", "kleine letters"),
        ({"mijn_veld": "x"}, "mijn_veld", "kleine letters"),
        ({"": "x"}, "nonFieldErrors", "kleine letters"),
        ({"data": "\ud800"}, "data", "surrogaat"),  # nothing could keep or carry these
        ({"data": {"zaak": "a\udfff"}}, "data", "surrogaat"),
        ({"data": [{"\ud800": 1}]}, "data", "surrogaat"),
        ({"extra": 1.5}, "extra", "32 bits"),
        ({"extra": 2**31}, "extra", "32 bits"),
        ({"extra": {"a": 1}}, "extra", "geheel getal"),
        ({"extra": "\ud800"}, "extra", "surrogaat"),
        ({"data_base64": "geen base64!"}, "data_base64", "base64"),
        ({"data_base64": 12}, "data_base64", "base64"),
        ({"data": {}, "data_base64": "eA=="}, "data_base64", "niet allebei"),
    ],
)
def test_a_fault_names_its_attribute(more: dict[str, Any], name: str, told: str) -> None:
    event, faults = read_structured(sent(**more))
    assert event is None
    assert [fault.name for fault in faults] == [name]
    assert told in faults[0].reason


def test_whole_characters_are_taken_however_they_are_spelled() -> None:
    assert event_of(sent(data={"naam": "Zoë \U0001f600"})).values["naam"] == "Zoë \U0001f600"


def test_every_fault_is_told_and_duplicates_too() -> None:
    _, faults = read_structured(b'{"specversion": "1.0", "id": "1", "id": "2", "Type": "x"}')
    assert {fault.name for fault in faults} == {"id", "source", "type", "Type"}
    assert read_structured(b"[]")[1][0].name == "nonFieldErrors"
    with pytest.raises(ParseError):
        read_structured(b"{")


def test_what_is_not_known_stays_byte_for_byte() -> None:
    body = (
        b'{ "id":"1" , "source":"/zaken","type":"nl.a","specversion":"1.0",'
        b'"dataref":"/zaken/api/v1/zaken/7b", "sequence" : "0001", "extra":12,"leeg":null,'
        b'"data":{"bedrag": 1.10, "groot":12345678901234567890.0}}'
    )
    event = event_of(body)
    assert event.body is body
    assert event.about == "/zaken/api/v1/zaken/7b"
    assert event.values["bedrag"] == "1.1"
    headers, data = as_binary(body)
    assert data == b'{"bedrag": 1.10, "groot":12345678901234567890.0}'
    assert headers["ce-dataref"] == "/zaken/api/v1/zaken/7b"
    assert headers["ce-extra"] == "12"
    assert "ce-leeg" not in headers


def test_values_are_the_type_and_what_is_text_in_the_data() -> None:
    values = event_values(
        {"type": "nl.a", "data": {"a": "x", "b": 2, "c": True, "d": None, "e": [1], TYPE: "z"}}
    )
    assert values == {"a": "x", "b": "2", "c": "true", TYPE: "nl.a"}
    assert event_values({"type": "nl.a", "data": "tekst"}) == {TYPE: "nl.a"}


def test_a_notificatie_is_no_event_and_other_events_have_other_addresses() -> None:
    assert not is_event({"specversion": "1.0", "hoofdObject": "https://x/1", "kanaal": "zaken"})
    assert is_event({**EVENT, "kanaal": "zaken"})
    assert address_of("x/a", "b") != address_of("x", "a/b")
    assert address_of("urn:x", "A b").endswith("/A%20b")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        ({"zaaktype": "https://c/1", "bedrag": 12}, "application/json"),
        ("tekst met € erin", "text/plain; charset=utf-8"),
        (b"\x00\xff\x01", "application/octet-stream"),
        (None, None),
    ],
)
def test_the_sdk_sends_both_forms_and_reads_what_is_delivered(data: Any, media_type: str | None) -> None:
    attributes = {
        **EVENT,
        "subject": 'Eur "€" 100% 😀 \\n',
        "time": datetime(2026, 1, 31, tzinfo=UTC),
        "comexample": "x y",
    }
    if media_type:
        attributes["datacontenttype"] = media_type
    event = CloudEvent(attributes=attributes, data=data)
    binary = to_binary(event, JSONFormat())
    received, faults = read_binary(
        binary.headers.items(), binary.headers.get("content-type", ""), binary.body
    )
    assert received is not None, faults
    structured = to_structured(event, JSONFormat())
    for body in (received.body, event_of(structured.body).body):
        # As structured, and as binary with headers in lower case as the SDK has them.
        for delivered in (
            HTTPMessage({"content-type": "application/cloudevents+json"}, body),
            HTTPMessage(
                {name.lower(): value for name, value in as_binary(body)[0].items()}, as_binary(body)[1]
            ),
        ):
            found = from_http(delivered, JSONFormat())
            assert found.get_attributes() == event.get_attributes()
            assert found.get_data() == data or (data is None and not found.get_data())


def test_binary_data_stays_byte_for_byte() -> None:
    headers = [(f"CE-{name}", value) for name, value in EVENT.items()]
    body = b'{"b": 1.10, "a":  [1e2]}'
    event, _ = read_binary(headers, "application/vnd.zaak+json", body)
    assert event is not None
    assert as_binary(event.body) == (
        {
            **{f"ce-{name}": value for name, value in EVENT.items()},
            "Content-Type": "application/vnd.zaak+json",
        },
        body,
    )
    assert read_accepted(event.body)["data"] == {"b": 1.1, "a": [100.0]}
    latin, _ = read_binary(headers, "text/plain; charset=latin-1", "é".encode("latin-1"))
    assert latin is not None
    assert as_binary(latin.body)[1] == b"\xe9"
    nothing, _ = read_binary(headers, "", b"")
    assert nothing is not None
    assert as_binary(nothing.body)[1] == b""


@pytest.mark.parametrize(
    ("headers", "name", "told"),
    [
        ([("ce-id", "1"), ("ce-id", "2")], "id", "meer dan eens"),
        ([("ce-id", "%ff")], "id", "procent"),
        ([("ce-datacontenttype", "x/y")], "datacontenttype", "Content-Type"),
        ([("ce-data", "x")], "data", "body"),
        ([("ce-mijn-veld", "x")], "mijn-veld", "kleine letters"),
        ([("ce-time", "gisteren")], "time", "RFC 3339"),
    ],
)
def test_a_fault_in_a_header_names_its_attribute(
    headers: list[tuple[str, str]], name: str, told: str
) -> None:
    given = {key for key, _ in headers}
    every = [*headers, *((f"ce-{key}", value) for key, value in EVENT.items() if f"ce-{key}" not in given)]
    event, faults = read_binary(every, "application/json", b"{}")
    assert event is None
    assert any(fault.name == name and told in fault.reason for fault in faults)


def test_binary_data_that_is_not_what_it_says_is_refused() -> None:
    headers = [(f"ce-{name}", value) for name, value in EVENT.items()]
    with pytest.raises(ParseError, match="Content-Type"):
        read_binary(headers, "application/json", b"{")
    quoted, _ = read_binary([*headers[:1], ("ce-id", r'"a\"b"'), *headers[2:]], "", b"")
    assert quoted is not None
    assert quoted.id == 'a"b'


def test_a_number_may_have_any_number_of_digits() -> None:
    data = b'{"a": 1%s, "b": -1e999, "c": 1.%s}' % (b"0" * 5000, b"3" * 5000)
    body = sent()[:-1] + b',"data":' + data + b"}"
    event, faults = read_structured(body)
    assert event is not None, faults
    assert as_binary(event.body)[1] == data
    events, _ = read_batch(b"[" + body + b"]")
    assert [each.body for each in events] == [body]


def test_a_batch_is_valid_as_a_whole_and_each_event_keeps_its_bytes() -> None:
    one, other = sent(id="1", data={"x": [1, "]"]}), sent(id="2")
    events, faults = read_batch(b" [ " + one + b" ,\n" + other + b"] ")
    assert [event.body for event in events] == [one, other]
    assert not faults
    assert read_batch(b"[]") == ([], [])
    events, faults = read_batch(b"[" + one + b", {}, 3]")
    assert not events
    assert {fault.name for fault in faults} >= {"1.id", "1.type", "2"}
    many = b"[" + b",".join([one] * (MOST_IN_BATCH + 1)) + b"]"
    assert "100" in read_batch(many)[1][0].reason
    assert read_batch(one)[1][0].code == "not_a_list"
