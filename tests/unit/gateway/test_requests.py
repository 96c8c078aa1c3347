"""What a request asks: Accept, query, and the root URL that its client used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.http.requests import accepts_json, must_accept_json, read_query, root_url
from runtime.settings import load_settings
from schemas.errors import NotAcceptable, ValidationError


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        ("application/json", True),
        ("Application/JSON", True),
        ("application/json; indent=4", True),
        ("application/json;q=0.1", True),
        ("*/*", True),
        ("application/*", True),
        ("text/html, application/xhtml+xml, */*;q=0.8", True),
        ("text/html,application/json;q=0.5", True),
        ("application/json, text/plain, */*", True),
        ("", True),
        ("*/*;q=0, application/json", True),
        ("application/json;q=0", False),
        ("application/json;q=0, */*", False),
        ("application/*;q=0, */*", False),
        ("*/*;q=0", False),
        ("text/html", False),
        ("application/xml", False),
        ("application/hal+json", False),
        ("application/problem+json", False),
        ("text/*", False),
        ("json", False),
    ],
)
def test_accept(accept: str, accepted: bool) -> None:
    assert accepts_json(accept) is accepted


def test_several_accept_headers_are_one() -> None:
    request = make_mocked_request("GET", "/", headers=cast(Any, [("Accept", "text/html"), ("Accept", "*/*")]))
    must_accept_json(request)
    with pytest.raises(NotAcceptable):
        must_accept_json(make_mocked_request("GET", "/", headers={"Accept": "text/html"}))
    must_accept_json(make_mocked_request("GET", "/"))


def test_a_long_accept_is_not_remembered() -> None:
    accepts_json.cache_clear()
    for number in range(3):
        headers = {"Accept": f"text/x-{number}, " * 1000 + "application/json"}
        must_accept_json(make_mocked_request("GET", "/", headers=headers))
    assert accepts_json.cache_info().currsize == 0


def test_query() -> None:
    assert read_query(make_mocked_request("GET", "/")) == {}
    assert read_query(make_mocked_request("GET", "/?naam=a%20b"), known=("naam",)) == {"naam": "a b"}
    with pytest.raises(ValidationError) as error:
        read_query(make_mocked_request("GET", "/?naam=a&y=1&x"), known=("naam",))
    (param,) = error.value.invalid_params
    assert (param.name, param.code) == ("nonFieldErrors", "unknown-parameters")
    assert "x, y" in param.reason


def test_a_parameter_of_one_value_that_is_repeated_is_refused() -> None:
    with pytest.raises(ValidationError) as error:
        read_query(make_mocked_request("GET", "/?naam=a&limit=1&x=1&naam=a&limit=2"), known=("naam", "limit"))
    unknown, limit, naam = error.value.invalid_params
    assert (unknown.name, unknown.code) == ("nonFieldErrors", "unknown-parameters")
    assert [(each.name, each.code) for each in (limit, naam)] == [("limit", "invalid"), ("naam", "invalid")]
    assert "meer dan een keer" in naam.reason


def test_of_a_parameter_of_several_values_all_are_taken() -> None:
    request = make_mocked_request("GET", "/?status=a&limit=1&status=b,c")
    found = read_query(request, known=("status", "limit"), several=("status",))
    assert found == {"status": "a,b,c", "limit": "1"}


FORWARDED = {
    "Host": "binnen:8000",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "api.example.nl",
    "X-Forwarded-Prefix": "/notificaties/",
}


def root(target: str = "/x", *, remote: str = "127.0.0.1", headers: Any = None, **settings: Any) -> str:
    """The root for a request from `remote` to 127.0.0.1:8000."""
    sockets = {"sockname": ("127.0.0.1", 8000), "peername": (remote, 50000)}
    transport = SimpleNamespace(
        get_extra_info=lambda name, default=None: sockets.get(name, default), is_closing=lambda: False
    )
    request = make_mocked_request("GET", target, headers=headers, transport=transport).clone(remote=remote)
    return root_url(request, load_settings(_env_file=None, **settings))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("example.nl", "http://example.nl"),
        ("Example.NL:8443", "http://Example.NL:8443"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("", "http://127.0.0.1:8000"),
        ("a b", "http://127.0.0.1:8000"),
        ('a"<script>', "http://127.0.0.1:8000"),
        ("user@example.nl", "http://127.0.0.1:8000"),
        ("example.nl/x", "http://127.0.0.1:8000"),
        ("[::1", "http://127.0.0.1:8000"),
    ],
)
def test_the_host_of_the_request(host: str, expected: str) -> None:
    assert root(headers={"Host": host}) == expected


def test_without_host_as_http_1_0_may() -> None:
    assert root() == "http://127.0.0.1:8000"


@pytest.mark.parametrize("target", ["http://api.example.nl:81/x", "https://api.example.nl:81/x"])
def test_an_absolute_target_comes_before_the_host_header(target: str) -> None:
    assert root(target, headers={"Host": "anders"}) == "http://api.example.nl:81"


@pytest.mark.parametrize(
    ("remote", "proxies", "expected"),
    [
        ("10.1.2.3", "", "http://binnen:8000"),
        ("10.1.2.3", "192.168.0.0/16", "http://binnen:8000"),
        ("10.1.2.3", "192.168.0.0/16,10.0.0.0/8", "https://api.example.nl/notificaties"),
        ("::ffff:10.1.2.3", "10.0.0.0/8", "https://api.example.nl/notificaties"),
        ("fd00::1", "fd00::/8", "https://api.example.nl/notificaties"),
        ("", "0.0.0.0/0", "http://binnen:8000"),
    ],
)
def test_only_a_trusted_proxy_is_believed(remote: str, proxies: str, expected: str) -> None:
    assert root(remote=remote, headers=FORWARDED, trusted_proxies=proxies) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Forwarded-Proto": "HTTPS"}, "https://binnen:8000/notificaties"),
        ({"X-Forwarded-Host": "api.example.nl:8443"}, "https://api.example.nl:8443/notificaties"),
        ({"X-Forwarded-Host": "vals.example, echt.example"}, "https://echt.example/notificaties"),
        ({"X-Forwarded-Host": "a b"}, "https://binnen:8000/notificaties"),
        ({"X-Forwarded-Proto": "gopher"}, "http://api.example.nl/notificaties"),
        ({"X-Forwarded-Prefix": ""}, "https://api.example.nl"),
        ({"X-Forwarded-Prefix": "/"}, "https://api.example.nl"),
        ({"X-Forwarded-Prefix": "/a/b"}, "https://api.example.nl/a/b"),
        ({"X-Forwarded-Prefix": "a"}, "https://api.example.nl"),
        ({"X-Forwarded-Prefix": "//evil.example"}, "https://api.example.nl"),
        ({"X-Forwarded-Prefix": "/a?b"}, "https://api.example.nl"),
    ],
)
def test_what_a_trusted_proxy_says(headers: dict[str, str], expected: str) -> None:
    said = {**FORWARDED, **headers}
    if "X-Forwarded-Proto" in headers and headers["X-Forwarded-Proto"] == "HTTPS":
        del said["X-Forwarded-Host"]
    assert root(headers=said, trusted_proxies="127.0.0.1/32") == expected


def test_of_a_header_on_several_lines_the_last_counts() -> None:
    forged = {"Proto": "http", "Host": "vals.example", "Prefix": "/vals"}
    written = {"Proto": "https", "Host": "echt.example", "Prefix": "/echt"}
    lines = [(f"X-Forwarded-{name}", value) for said in (forged, written) for name, value in said.items()]
    headers = [("Host", "binnen:8000"), *lines]
    assert root(headers=headers, trusted_proxies="127.0.0.1/32") == "https://echt.example/echt"


def test_the_public_url_comes_before_all() -> None:
    settings = {"public_url": "https://nrc.example.nl/prefix/", "trusted_proxies": "127.0.0.1/32"}
    assert root(headers=FORWARDED, **settings) == "https://nrc.example.nl/prefix"
