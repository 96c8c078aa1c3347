"""A body as people read it, and the curl command, run by a real shell in the contract tests."""

from __future__ import annotations

import json

import pytest
from multidict import CIMultiDict

from deliverer.events.request import Rendered, rendered
from gateway.api.callback_check import test_request as request_of_test
from inbox.behaviour import Answer
from inbox.received import Received, header_text, is_check
from inbox.showing.pretty import MAX_SHOWN, as_curl, indented, raw
from runtime.settings import load_settings
from schemas.delivery_options import DeliveryOptions
from schemas.events.mapping import BUILT_IN, GEMMA, ON
from schemas.events.options import CloudEvents, Mode


def a_request(body: bytes, *headers: tuple[str, str], size: int | None = None) -> Received:
    sized = len(body) if size is None else size
    return Received(1.0, "POST", "/inbox/x", headers, body, sized, False, Answer(204, ""))


def test_json_is_indented_and_no_digit_changes() -> None:
    body = b'{"a":[1.000,{}],"b":{"c":123456789012345678901,"d":null,"e":true},"f":[],"g":"\xc3\xa9\\u0000"}'
    pretty = indented(a_request(body))
    assert pretty is not None
    assert pretty.startswith(
        '{\n  "a": [\n    1.000,\n    {}\n  ],\n  "b": {\n    "c": 123456789012345678901,'
    )
    assert json.loads(pretty) == json.loads(body)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 60_000, b'"' + b"x" * MAX_SHOWN + b'"', b"NaN"], ids=len
)
def test_what_is_no_json_or_too_large_is_not(body: bytes) -> None:
    assert indented(a_request(body)) is None


def test_what_was_cut_is_not() -> None:
    assert indented(a_request(b"1", size=2)) is None


def test_bytes_that_are_no_text_are_dumped() -> None:
    assert (
        raw(a_request(b"\x00\xffAB<")) == "00000000  00 ff 41 42 3c                                   ..AB<"
    )
    assert raw(a_request("é".encode() * MAX_SHOWN)).endswith("é"), "no half of a character"


def test_headers_are_text_whatever_their_bytes() -> None:
    assert header_text("é".encode()) == "é"
    assert header_text("é".encode("latin-1")) == "é"


def test_a_curl_command_leaves_out_what_the_connection_had() -> None:
    command = as_curl(
        a_request(b"it's", ("Host", "x"), ("Content-Length", "4"), ("X-A", ""), ("X-B", "a'b")), url="u"
    )
    assert command.replace(" \\\n  ", " ") == (
        "curl -i -X POST -H 'X-A;' -H 'X-B: a'\"'\"'b' --data-raw 'it'\"'\"'s' u"
    )


@pytest.mark.parametrize(
    ("body", "size"), [(b"\xff", 1), (b"a\x00b", 3), (b"a", 2), (b"x" * (MAX_SHOWN + 1), None)]
)
def test_a_body_that_no_argument_can_hold_comes_from_a_file(body: bytes, size: int | None) -> None:
    assert "--data-binary @body" in as_curl(a_request(body, size=size), url="u")


def test_the_standard_s_test_message_is_known() -> None:
    assert is_check({}, b'{"kanaal": "test", "resourceUrl": "http://some.resource.nl/"}')
    for body in (b"", b"[]", b'{"kanaal": "test"}', b'{"kanaal": "zaken"}', b'{"specversion": "1.0"}'):
        assert not is_check({}, body)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("mapping", [ON, GEMMA])
def test_the_test_event_is_known_in_both_forms(mode: Mode, mapping: str) -> None:
    options = DeliveryOptions(cloudevents=CloudEvents(mode=mode, mapping=mapping))
    made = request_of_test(options, load_settings(_env_file=None))
    assert is_check(CIMultiDict(made.headers), made.body)
    asked = CloudEvents(mode=mode, mapping=mapping)
    other = rendered(b'{"kanaal": "zaken"}', asked, BUILT_IN[mapping], id="1", source="urn:a")
    assert isinstance(other, Rendered)
    assert not is_check(CIMultiDict(other.headers), other.body)
