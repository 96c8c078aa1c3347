"""STANDARD: Fields. Each rule as a row: what is sent, and the faults or the outcome."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.abonnement import AbonnementRequest
from schemas.errors import ParseError
from schemas.fields import parse
from schemas.jsontext import LARGE, _write_any, read_json, write_json
from schemas.kanaal import KanaalRequest
from schemas.notificatie import Notificatie, check_notificatie, read_notificatie

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
Faults = set[tuple[str, str]]
ABSENT: Any = object()

KANAAL = {"naam": "zaken", "documentatieLink": "https://example.nl/", "filters": ["zaaktype"]}
ABONNEMENT = {"callbackUrl": "https://example.nl/callbacks", "auth": "Token abc", "kanalen": []}
NOTIFICATIE = {
    "kanaal": "zaken",
    "hoofdObject": "https://example.nl/zaken/1",
    "resource": "status",
    "resourceUrl": "https://example.nl/statussen/1",
    "actie": "create",
    "aanmaakdatum": "2019-03-27T10:59:13Z",
    "kenmerken": {"bronorganisatie": "224557609"},
}


def sent(sound: dict[str, Any], changes: dict[str, Any]) -> bytes:
    """The JSON of a sound object with changes; ABSENT leaves out. A value in bytes is JSON already."""
    parts = {**sound, **changes}
    texts = {
        name: value.decode() if isinstance(value, bytes) else json.dumps(value)
        for name, value in parts.items()
        if value is not ABSENT
    }
    return ("{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items()) + "}").encode()


def kanaal_faults(**changes: Any) -> Faults:
    return {(f.name, f.code) for f in parse(KanaalRequest, read_json(sent(KANAAL, changes)))[1]}


def abonnement_faults(**changes: Any) -> Faults:
    return {(f.name, f.code) for f in parse(AbonnementRequest, read_json(sent(ABONNEMENT, changes)))[1]}


def checked(body: bytes) -> tuple[Notificatie | None, Faults]:
    _, notificatie, faults = read_notificatie(body, now=NOW, leeway=timedelta(seconds=5))
    assert all(fault.reason for fault in faults)
    return notificatie, {(fault.name, fault.code) for fault in faults}


def large(body: bytes) -> bytes:
    """The same notificatie, so large that it is not read digit by digit unless that is needed."""
    return body[:-1] + b" " * LARGE + b"}"


def check(body: bytes, data: Any) -> tuple[Notificatie | None, Faults]:
    notificatie, faults = check_notificatie(body, data, now=NOW, leeway=timedelta(seconds=5))
    return notificatie, {(fault.name, fault.code) for fault in faults}


def notificatie_faults(**changes: Any) -> Faults:
    return checked(sent(NOTIFICATIE, changes))[1]


def routed(**changes: Any) -> Notificatie:
    notificatie, faults = checked(sent(NOTIFICATIE, changes))
    assert notificatie is not None, faults
    return notificatie


BLANKS = ["", " ", "\t", "\n", " \u00a0\u2003"]
NO_TEXTS = [(None, "null"), (True, "invalid"), (False, "invalid"), ([], "invalid"), ({}, "invalid")]


# -- every text that may not be blank

TEXTS = [
    (kanaal_faults, "naam", 50),
    (abonnement_faults, "callbackUrl", None),
    (abonnement_faults, "auth", 16 * 1024),
    (notificatie_faults, "kanaal", 50),
    (notificatie_faults, "hoofdObject", None),
    (notificatie_faults, "resource", 100),
    (notificatie_faults, "resourceUrl", None),
    (notificatie_faults, "actie", 100),
]


@pytest.mark.parametrize(("faults", "name", "limit"), TEXTS)
def test_a_required_text(faults: Any, name: str, limit: int | None) -> None:
    assert faults(**{name: ABSENT}) == {(name, "required")}
    for value, code in NO_TEXTS:
        assert faults(**{name: value}) == {(name, code)}, value
    for blank in BLANKS:
        assert faults(**{name: blank}) == {(name, "blank")}, repr(blank)
    assert faults(**{name: "a\x00b"}) == {(name, "invalid")}
    assert faults(**{name: b'"a\\ud800b"'}) == {(name, "invalid")}
    if limit is not None:
        assert faults(**{name: "é" * limit}) == set()
        assert faults(**{name: "é" * (limit + 1)}) == {(name, "max_length")}
        assert faults(**{name: 12}) == set()
        assert faults(**{name: 1.5}) == set()


def test_aanmaakdatum_is_required() -> None:
    assert notificatie_faults(aanmaakdatum=ABSENT) == {("aanmaakdatum", "required")}
    for value, code in NO_TEXTS:
        assert notificatie_faults(aanmaakdatum=value) == {("aanmaakdatum", code)}, value


@pytest.mark.parametrize(("faults", "name"), [(kanaal_faults, "naam"), (notificatie_faults, "kanaal")])
@pytest.mark.parametrize("control", ["\x01", "\n", "\t", "\x1f", "\x7f", "\x85"])
def test_control_characters_in_a_name(faults: Any, name: str, control: str) -> None:
    assert faults(**{name: f"a{control}b"}) == {(name, "invalid")}


def test_outer_spaces_stay() -> None:
    assert routed(kanaal=" zaken ", resource=" status").kanaal == " zaken "
    asked, _ = parse(KanaalRequest, {"naam": " zaken "})
    assert asked is not None
    assert asked.naam == " zaken "


# -- URLs

GOOD_URLS = [
    "http://openzaak:8000/zaken/1",
    "https://example.nl",
    "HTTPS://Example.NL/a?b=c#d",
    "http://127.0.0.1:1/",
    "http://[::1]:8000/",
    "https://example.nl/é/€?ü=1",
    "https://münchen.example/",
    "https://example.nl/%7Euser/../x",
]
BAD_URLS = [
    "example.nl/zaken",
    "/zaken",
    "//example.nl/",
    "ftp://example.nl/",
    "mailto:a@example.nl",
    "http:/example.nl",
    "http://",
    "http:///zaken",
    "http://:8000/",
    "https://example.nl:99999/",
    "https://example.nl:0/",
    "https://example.nl:a/",
    "http://exa mple.nl/",
    "http://[::1/",
    "http://[::1]@/",
    "http://[::1]@",
    "https://example.nl/\n",
    "javascript:alert(1)",
    "test",
]
URLS = [
    (notificatie_faults, "hoofdObject"),
    (notificatie_faults, "resourceUrl"),
    (abonnement_faults, "callbackUrl"),
    (kanaal_faults, "documentatieLink"),
]


@pytest.mark.parametrize(("faults", "name"), URLS)
@pytest.mark.parametrize("url", GOOD_URLS)
def test_a_good_url(faults: Any, name: str, url: str) -> None:
    assert faults(**{name: url}) == set()


@pytest.mark.parametrize(("faults", "name"), URLS)
@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url(faults: Any, name: str, url: str) -> None:
    assert faults(**{name: url}) == {(name, "invalid")}


@pytest.mark.parametrize(("faults", "name"), URLS)
def test_a_number_is_no_url(faults: Any, name: str) -> None:
    assert faults(**{name: 12}) == {(name, "invalid")}


@pytest.mark.parametrize(
    "url", ["https://a:b@example.nl/", "https://a@example.nl/", "https://:b@example.nl/"]
)
def test_a_callback_url_holds_no_password(url: str) -> None:
    assert abonnement_faults(callbackUrl=url) == {("callbackUrl", "invalid")}
    assert notificatie_faults(hoofdObject=url) == set()


def test_an_at_sign_elsewhere_is_fine() -> None:
    assert abonnement_faults(callbackUrl="https://example.nl/@me?a=b@c") == set()


def test_long_urls() -> None:
    def url(length: int) -> str:
        return "https://example.nl/".ljust(length, "a")

    assert abonnement_faults(callbackUrl=url(2048)) == set()
    assert abonnement_faults(callbackUrl=url(2049)) == {("callbackUrl", "max_length")}
    assert kanaal_faults(documentatieLink=url(200)) == set()
    assert kanaal_faults(documentatieLink=url(201)) == {("documentatieLink", "max_length")}
    assert notificatie_faults(hoofdObject=url(5000), resourceUrl=url(5000)) == set()


# -- kanaal


@pytest.mark.parametrize(
    ("link", "faults"),
    [
        (ABSENT, set()),
        ("", set()),
        (" ", {("documentatieLink", "blank")}),
        ("\t\n", {("documentatieLink", "blank")}),
        (None, {("documentatieLink", "null")}),
        ([], {("documentatieLink", "invalid")}),
    ],
)
def test_documentatie_link(link: Any, faults: Faults) -> None:
    assert kanaal_faults(documentatieLink=link) == faults


@pytest.mark.parametrize(
    ("filters", "faults"),
    [
        (ABSENT, set()),
        ([], set()),
        (["a", "a", "A_", "b"], set()),
        ([1, 2.5], set()),
        (["zaaktype.catalogus", "x-match", "CC", "é 😀"], set()),
        (["a" * 100], set()),
        ([f"f{n}" for n in range(100)], set()),
        ([f"f{n}" for n in range(101)], {("filters", "max_length")}),
        (None, {("filters", "null")}),
        ("a", {("filters", "not_a_list")}),
        ({"a": "b"}, {("filters", "not_a_list")}),
        (1, {("filters", "not_a_list")}),
        (["a" * 101], {("filters.0", "max_length")}),
        (["a", ""], {("filters.1", "blank")}),
        (["a", " "], {("filters.1", "blank")}),
        (["a", None, {}], {("filters.1", "null"), ("filters.2", "invalid")}),
        (["a\nb"], {("filters.0", "invalid")}),
        ([True], {("filters.0", "invalid")}),
    ],
)
def test_filters_of_a_kanaal(filters: Any, faults: Faults) -> None:
    assert kanaal_faults(filters=filters) == faults


def test_filters_are_kept_as_sent() -> None:
    asked, _ = parse(KanaalRequest, read_json(b'{"naam": "a", "filters": ["B_c", "bc", 10, 1.50]}'))
    assert asked is not None
    assert asked.filters == ["B_c", "bc", "10", "1.50"]
    assert asked.documentatie_link == ""


def test_unknown_and_read_only_properties_are_ignored() -> None:
    assert kanaal_faults(url=1, extra={"a": []}) == set()
    assert abonnement_faults(url=None, extra=1) == set()


# -- abonnement


@pytest.mark.parametrize(
    ("auth", "faults"),
    [
        ("Token abc\r\nX: y", {("auth", "invalid")}),
        ("Token abc\n", {("auth", "invalid")}),
        ("a\rb", {("auth", "invalid")}),
        ("Token €", {("auth", "invalid")}),
        ("Token é", set()),
        ("Bearer " + "a" * 8000, set()),
        ("a" * 16385, {("auth", "max_length")}),
        ("a\x01b", {("auth", "invalid")}),
    ],
)
def test_auth(auth: str, faults: Faults) -> None:
    assert abonnement_faults(auth=auth) == faults


def group(**filters: Any) -> list[dict[str, Any]]:
    return [{"naam": "zaken", "filters": filters}]


@pytest.mark.parametrize(
    ("kanalen", "faults"),
    [
        (ABSENT, {("kanalen", "required")}),
        (None, {("kanalen", "null")}),
        ([], set()),
        ({}, {("kanalen", "not_a_list")}),
        ("zaken", {("kanalen", "not_a_list")}),
        (["zaken"], {("kanalen.0.nonFieldErrors", "invalid")}),
        ([{"naam": "a"}, 1], {("kanalen.1.nonFieldErrors", "invalid")}),
        ([None], {("kanalen.0.nonFieldErrors", "invalid")}),
        ([{}], {("kanalen.0.naam", "required")}),
        ([{"naam": None}], {("kanalen.0.naam", "null")}),
        ([{"naam": " "}], {("kanalen.0.naam", "blank")}),
        ([{"naam": "a"}, {"naam": "a"}], set()),
        ([{"naam": "a", "extra": 1}], set()),
        ([{"naam": "a", "filters": None}], {("kanalen.0.filters", "null")}),
        ([{"naam": "a", "filters": []}], {("kanalen.0.filters", "not_a_dict")}),
        ([{"naam": "a", "filters": "b"}], {("kanalen.0.filters", "not_a_dict")}),
        ([{"naam": "a", "filters": {}}], set()),
        (group(a="", b="*", c="x" * 1000, d=12), set()),
        (group(a=" "), set()),
        (group(a="x" * 1001), {("kanalen.0.filters.a", "max_length")}),
        (group(a=None), {("kanalen.0.filters.a", "null")}),
        (group(a=True), {("kanalen.0.filters.a", "invalid")}),
        (group(a={}), {("kanalen.0.filters.a", "invalid")}),
        (group(a="b\x00"), {("kanalen.0.filters.a", "invalid")}),
        (group(**{"k" * 100: "v"}), set()),
        (group(**{"k" * 101: "v"}), {("kanalen.0.filters." + "k" * 101, "max_length")}),
        (group(**{"": "v"}), {("kanalen.0.filters.", "blank")}),
        (group(**{" ": "v"}), {("kanalen.0.filters. ", "blank")}),
        (group(**{"a\n": "v"}), {("kanalen.0.filters.a\n", "invalid")}),
        (group(**{"zaaktype.catalogus": "v"}), set()),
        (group(object_type="a", objectType="b"), {("kanalen.0.filters.objectType", "invalid")}),
        (
            group(a="1", A="2", _a="3"),
            {("kanalen.0.filters.A", "invalid"), ("kanalen.0.filters._a", "invalid")},
        ),
    ],
)
def test_kanalen(kanalen: Any, faults: Faults) -> None:
    assert abonnement_faults(kanalen=kanalen) == faults


def test_the_same_filter_twice() -> None:
    twice = b'[{"naam": "zaken", "filters": {"a": "1", "a": "2"}}]'
    assert abonnement_faults(kanalen=twice) == {("kanalen.0.filters.a", "invalid")}


# -- notificatie


@pytest.mark.parametrize(
    ("kenmerken", "faults"),
    [
        (ABSENT, set()),
        ({}, set()),
        (None, {("kenmerken", "null")}),
        ([], {("kenmerken", "not_a_dict")}),
        ("a", {("kenmerken", "not_a_dict")}),
        ({"a": ""}, set()),
        ({"a": " "}, set()),
        ({"a": "x" * 1000}, set()),
        ({"a": "x" * 1001}, {("kenmerken.a", "max_length")}),
        ({"a": None}, {("kenmerken.a", "null")}),
        ({"a": True, "b": []}, {("kenmerken.a", "invalid"), ("kenmerken.b", "invalid")}),
        ({"a": 1, "b": 1.5}, set()),
        ({"k" * 101: "v"}, set()),
        ({"k" * 5000: "v"}, set()),
        ({f"k{n}": "v" for n in range(1000)}, set()),
        ({"": "v"}, {("kenmerken.", "blank")}),
        ({"a\tb": "v"}, {("kenmerken.a\tb", "invalid")}),
        ({"object_type": "a", "objectType": "b"}, {("kenmerken.objectType", "invalid")}),
        ({"kanaal": "x", "x-match": "y", "CC": "z", "zaaktype.catalogus": "w"}, set()),
        (b'{"a": "1", "a": "2"}', {("kenmerken.a", "invalid")}),
        (b'{"a": "1", "b": {"c": 1, "c": 2}}', {("kenmerken.b", "invalid")}),
    ],
)
def test_kenmerken(kenmerken: Any, faults: Faults) -> None:
    assert notificatie_faults(kenmerken=kenmerken) == faults


@pytest.mark.parametrize(
    "text",
    [
        "2019-03-27T10:59:13Z",
        "2019-03-27t10:59:13z",
        "2019-03-27 10:59:13Z",
        "2019-03-27T10:59Z",
        "2019-03-27 10:59+01:00",
        "2019-03-27T10:59:13.123456789+02:00",
        "2019-03-27T10:59:13.1-05:00",
        "2016-12-31T23:59:60Z",
        "0001-01-01T00:00:00Z",
        "2026-01-01T12:00:05Z",
        "2026-01-01T13:00:05+01:00",
    ],
)
def test_aanmaakdatum_with_an_offset_goes_out_as_it_came(text: str) -> None:
    assert routed(aanmaakdatum=text).body == sent(NOTIFICATIE, {"aanmaakdatum": text})


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2019-03-27T10:59:13", "2019-03-27T10:59:13Z"),
        ("2019-03-27 10:59", "2019-03-27T10:59:00Z"),
        ("2019-03-27T10:59:13.5", "2019-03-27T10:59:13.5Z"),
        ("2019-03-27t10:59:13.123456789012", "2019-03-27T10:59:13.123456789012Z"),
    ],
)
def test_aanmaakdatum_without_an_offset_goes_out_as_utc(text: str, utc: str) -> None:
    assert json.loads(routed(aanmaakdatum=text).body) == {**NOTIFICATIE, "aanmaakdatum": utc}


@pytest.mark.parametrize(
    "value",
    [
        "2019-03-27", "1553684353", 1553684353, 1553684353.5, "", " ", "gisteren", "2019-02-30T10:00:00Z",
        "2019-03-27T25:00:00Z", "2019-03-27T10:59:61Z", "2019-03-27T10:59:13+25:00", "20190327T105913Z",
        "2019-W13-3T10:59:13Z", "10:59:13Z", "2019-03-27T10Z", " 2019-03-27T10:59:13Z",
        "2019-03-27T10:59:13Z\n", "2019-03-27T10:59:13,5Z", "2019-03-27T10:59:13+01",
        "2019-03-27T10:59:13+0100", "9999-12-31T23:59:60Z",
        "2019-03-27T10:59:13 Z", "2019-03-27T10:59:13+01:60", "2019-03-27T10:30:60Z", "2019-03-27T10:59.5Z",
        "२०१९-03-27T10:59:13Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00Z", "-2019-03-27T10:59:13Z",
    ],
)  # fmt: skip
def test_no_aanmaakdatum(value: Any) -> None:
    assert notificatie_faults(aanmaakdatum=value) == {("aanmaakdatum", "invalid")}


@pytest.mark.parametrize(
    "text",
    ["2026-01-01T12:00:06Z", "2026-01-01T12:00:06", "2026-01-01T12:00:05.000001Z", "9999-12-31T00:00:00Z"],
)
def test_aanmaakdatum_in_the_future(text: str) -> None:
    assert notificatie_faults(aanmaakdatum=text) == {("aanmaakdatum", "future_not_allowed")}


def test_all_faults_at_once() -> None:
    assert notificatie_faults(
        kanaal=None, hoofdObject="x", resource="", resourceUrl=ABSENT, actie="a" * 101, aanmaakdatum="x",
        kenmerken={"a": None, "b": {}},
    ) == {
        ("kanaal", "null"), ("hoofdObject", "invalid"), ("resource", "blank"), ("resourceUrl", "required"),
        ("actie", "max_length"), ("aanmaakdatum", "invalid"), ("kenmerken.a", "null"),
        ("kenmerken.b", "invalid"),
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"[]", b"1", b'"a"', b"null", b"true"])
def test_a_body_that_is_no_object(body: bytes) -> None:
    expected = {("nonFieldErrors", "invalid")}
    assert checked(body)[1] == expected
    for model in (KanaalRequest, AbonnementRequest):
        assert {(f.name, f.code) for f in parse(model, read_json(body))[1]} == expected


@pytest.mark.parametrize(
    ("again", "faults"),
    [
        (b'"kanaal":"a"', {("kanaal", "invalid")}),
        (b'"kanaal" : "zaken"', {("kanaal", "invalid")}),
        (b'"\\u006banaal":"a"', {("kanaal", "invalid")}),
        (b'"hoofdObject":null', {("hoofdObject", "invalid")}),
        (b'"kenmerken":{}', {("kenmerken", "invalid")}),
        (b'"eigen":1,"eigen":2', {("eigen", "invalid")}),
        (b'"":1,"":2', {("nonFieldErrors", "invalid")}),
        (b'"actie":"a","actie":"b","resource":"c"', {("actie", "invalid"), ("resource", "invalid")}),
    ],
)
def test_a_name_twice_at_the_top(again: bytes, faults: Faults) -> None:
    body = b"{%b,%b" % (again, sent(NOTIFICATIE, {})[1:])
    assert checked(body) == (None, faults)
    assert checked(large(body)) == (None, faults)


@pytest.mark.parametrize("second", [b'"bron"', b'"br\\u006fn"'])
def test_a_kenmerk_twice(second: bytes) -> None:
    body = sent(NOTIFICATIE, {"kenmerken": b'{"bron":"1",%b:"2"}' % second})
    assert checked(body)[1] == {("kenmerken.bron", "invalid")}
    assert checked(large(body))[1] == {("kenmerken.bron", "invalid")}


def test_a_name_twice_in_a_kanaal_or_abonnement() -> None:
    for model, sound, again in (
        (KanaalRequest, KANAAL, b'{"naam":"a",'),
        (AbonnementRequest, ABONNEMENT, b'{"callbackUrl":"x",'),
    ):
        asked, faults = parse(model, read_json(again + sent(sound, {})[1:]))
        assert asked is None
        assert [(f.name, f.code) for f in faults] == [(again.split(b'"')[1].decode(), "invalid")]


def test_the_last_of_a_repeated_property_of_others_counts() -> None:
    body = sent(NOTIFICATIE, {"actie": 12, "extra": b'{"a": 1, "a": 2}'})
    notificatie, faults = checked(body)
    assert notificatie is not None, faults
    assert json.loads(notificatie.body) == {**NOTIFICATIE, "actie": "12", "extra": {"a": 2}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"extra": b"[1.0,1e400,123456789012345678901,null]"},
        {"extra": b'"\\ud800"'},
        {"extra": b"[" * 900 + b"]" * 900},
        {"extra": b'{"a":1,"a":2}'},
        {"kenmerken": {"kanaal": "zaken", "bron": "kanaal"}},
        {"actie": 12, "extra": b"[1.0,123456789012345678901]"},
        {"aanmaakdatum": "2019-03-27T10:59:13", "extra": b"[1.0,123456789012345678901]"},
        {"kenmerken": b'{"a":1.10,"b":123456789012345678901}'},
        {"kanaal": ABSENT},
        {"kanaal": None, "kenmerken": {"a": None}},
        {"kenmerken": {"A_b": "1", "ab": "2"}},
        {"kenmerken": []},
        {"actie": True, "aanmaakdatum": 2019},
        {"kenmerken": {f"k{number}": "1" for number in range(3000)}},
    ],
)
def test_a_large_one_is_read_as_a_small_one(changes: dict[str, Any]) -> None:
    body = sent(NOTIFICATIE, changes)
    small, faults = check(body, read_json(body))
    notificatie, found = checked(large(body))
    assert found == faults
    if small is None or notificatie is None:
        assert small is notificatie
        return
    assert notificatie.body == (large(body) if small.body is body else small.body)
    assert replace(notificatie, body=b"") == replace(small, body=b"")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


# -- unchanged, unless a value had to be coerced


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(NOTIFICATIE, indent=3).encode(),
        json.dumps({**NOTIFICATIE, "kenmerken": {"Bron_Organisatie": "é"}}, ensure_ascii=False).encode(),
        sent(NOTIFICATIE, {"kenmerken": ABSENT}),
        sent(NOTIFICATIE, {"extra": b"[1.0, 1e400, 123456789012345678901, null]", "source": "zrc"}),
        sent(NOTIFICATIE, {"extra": b'"\\ud800"'}),
    ],
)
def test_the_bytes_that_came_in_go_out(body: bytes) -> None:
    notificatie, faults = checked(body)
    assert notificatie is not None, faults
    assert notificatie.body is body


@pytest.mark.parametrize("number", ["12", "1.50", "-0", "1e+20", "123456789012345678901", "0.10", "1E5"])
def test_a_number_becomes_text_digit_for_digit(number: str) -> None:
    digits = number.encode()
    notificatie = routed(kenmerken=b'{"a": %b}' % digits, actie=digits, extra=b"[%b]" % digits)
    assert notificatie.kenmerken == {"a": number}
    assert notificatie.actie == number
    out = notificatie.body.decode()
    assert f'"a":"{number}"' in out
    assert f'"actie":"{number}"' in out
    assert f'"extra":[{number}]' in out
    assert list(json.loads(out)) == [*NOTIFICATIE, "extra"]


@pytest.mark.parametrize(
    "extra",
    [
        b'"\\ud800"',
        b'{"\\udfff":["\\ud800\\u00e9"]}',
        b"[" * 400 + b"]" * 400,
        b'{"a":[1.0,' * 200 + b"1e400" + b"]}" * 200,
        b'["\\ud800",{},[],[null,true,false,-0,1E5,{"b":{"a":""}}]]',
    ],
)
def test_what_is_not_ours_passes_through_beside_a_number_too(extra: bytes) -> None:
    """Half surrogates and deep nesting, where the message has to be written anew."""
    out = routed(actie=12, extra=extra).body.decode()
    assert '"actie":"12"' in out
    assert f'"extra":{extra.decode()}' in out


@given(st.dictionaries(st.text(), anything))
def test_the_slow_way_to_write_json_gives_the_same(value: dict[str, Any]) -> None:
    read = read_json(json.dumps(value).encode())
    assert json.loads(_write_any(read)) == json.loads(write_json(read))


# -- JSON


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"{}x", b"{'a': 1}", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}',
        b"\xff\xfe", b'{"a": "\xff"}', b'\xef\xbb\xbf{"a": 1}', b'{"a": 1,}', b'{"a": 01}',
        b'{"a": "\x00"}', b"\x00",
        b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000, "{}".encode("utf-16"), b"kanaal=zaken",
    ],
)  # fmt: skip
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(ParseError) as error:
        read_json(body)
    assert error.value.detail


@given(st.binary())
def test_no_bytes_are_a_fault_of_ours(body: bytes) -> None:
    try:
        read_json(body)
    except ParseError as error:
        assert error.detail


@given(st.dictionaries(st.sampled_from([*NOTIFICATIE, "extra"]), anything))
def test_no_message_is_a_fault_of_ours(changes: dict[str, Any]) -> None:
    for body in (sent(NOTIFICATIE, changes), json.dumps(changes).encode()):
        assert checked(body)[1] == checked(large(body))[1]


@given(st.dictionaries(st.sampled_from([*KANAAL, *ABONNEMENT]), anything))
def test_no_kanaal_or_abonnement_is_a_fault_of_ours(changes: dict[str, Any]) -> None:
    kanaal_faults(**changes)
    abonnement_faults(**changes)
