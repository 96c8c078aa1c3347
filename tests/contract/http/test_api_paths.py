"""STANDARD: Paths. Each row with its methods, scopes and status; and paths that do not exist."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.contract.api import Api, a_naam, abonnement_of, message, raw
from tests.contract.conftest import Stage
from tests.tokens import token

UUID_V1 = "b184c1c6-e969-11f1-8a9d-02fc00000001"
NOWHERE = UUID("0d4b4788-981a-42a2-9a25-2cb2315a5bed")


class Things:
    """A kanaal, and an abonnement of `beide` on it, with the paths to them."""

    def __init__(self, naam: str, kanaal: str, abonnement: str) -> None:
        self.naam = naam
        self.paths = {
            "/": "/",
            "kanaal": "/kanaal",
            "kanaal/1": kanaal,
            "abonnement": "/abonnement",
            "abonnement/1": abonnement,
            "notificaties": "/notificaties",
        }


@pytest.fixture
async def things(api: Api) -> AsyncIterator[Things]:
    naam = a_naam()
    kanaal = (await api.post("/kanaal", {"naam": naam})).json["url"].removeprefix(api.root)
    abonnement = (await api.post("/abonnement", abonnement_of(naam))).json["url"].removeprefix(api.root)
    yield Things(naam, kanaal, abonnement)
    await api.delete(abonnement)


EITHER, PUBLISH, CONSUME = {"bron", "afnemer"}, {"bron"}, {"afnemer"}

# (path, method, who of the applications with one scope may, status)
ROWS = [
    ("kanaal", "GET", EITHER, 200),
    ("kanaal", "POST", PUBLISH, 201),
    ("kanaal/1", "GET", EITHER, 200),
    ("kanaal/1", "PUT", PUBLISH, 200),
    ("kanaal/1", "PATCH", PUBLISH, 200),
    ("abonnement", "GET", EITHER, 200),
    ("abonnement", "POST", CONSUME, 201),
    ("abonnement/1", "GET", EITHER, 200),
    ("notificaties", "POST", PUBLISH, 201),
]


def data_for(path: str, method: str, naam: str) -> Any:
    if method == "GET":
        return None
    if path == "notificaties":
        return message(naam)
    if path.startswith("abonnement"):
        return abonnement_of(naam)
    return {"naam": naam if path == "kanaal/1" else a_naam()}


@pytest.mark.parametrize(("path", "method", "allowed", "status"), ROWS)
async def test_rows(api: Api, things: Things, path: str, method: str, allowed: set[str], status: int) -> None:
    for client_id in ("bron", "afnemer"):
        data = data_for(path, method, things.naam)
        answer = await api.of(client_id)(method, things.paths[path], data)
        assert answer.status == (status if client_id in allowed else 403), client_id
        if client_id not in allowed:
            assert answer.json["code"] == "permission_denied"
        else:
            assert answer.headers["Content-Type"] == "application/json"
            if path != "notificaties":
                assert ("Location" in answer.headers) is (status == 201)
    for client_id in ("niets", None):
        auth = token(client_id) if client_id else None
        answer = await api(method, things.paths[path], data_for(path, method, things.naam), auth=auth)
        assert answer.outcome == (403, "permission_denied")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_only_the_application_that_made_an_abonnement_changes_it(
    api: Api, things: Things, method: str
) -> None:
    path = things.paths["abonnement/1"]
    data = None if method == "DELETE" else abonnement_of(things.naam)
    for client_id in ("ander", "afnemer", "bron", "niets"):
        assert (await api.of(client_id)(method, path, data)).outcome == (403, "permission_denied")
    answer = await api(method, path, data)
    assert answer.status == (204 if method == "DELETE" else 200)
    if method == "DELETE":
        assert answer.body == b""
        assert "Content-Type" not in answer.headers
        assert (await api.get(path)).outcome == (404, "not_found")
        assert (await api.delete(path)).outcome == (404, "not_found")


ALLOWED = {
    "/": "GET, HEAD",
    "kanaal": "GET, HEAD, POST",
    "kanaal/1": "GET, HEAD, PATCH, PUT",
    "abonnement": "GET, HEAD, POST",
    "abonnement/1": "DELETE, GET, HEAD, PATCH, PUT",
    "notificaties": "POST",
}


@pytest.mark.parametrize("path", ALLOWED)
async def test_other_methods(api: Api, things: Things, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        if method in ALLOWED[path].split(", "):
            continue
        # Before the token is looked at.
        answer = await api(method, things.paths[path], auth=None)
        assert answer.status == 405
        assert answer.headers["Allow"] == ALLOWED[path]
        assert method == "HEAD" or answer.json["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/", "", "kanaal", "kanaal/1", "abonnement", "abonnement/1"])
async def test_head_is_get_without_a_body(api: Api, things: Things, path: str) -> None:
    got = await api.get(things.paths.get(path, path))
    head = await api("HEAD", things.paths.get(path, path))
    assert (head.status, head.body) == (200, b"")
    # A long list has no Content-Length: other tests on this gateway leave abonnementen.
    for name in ("Content-Type", "Content-Length", "API-version"):
        assert head.headers.get(name) == got.headers.get(name)
    assert "Content-Length" in got.headers or got.headers["Transfer-Encoding"] == "chunked"


async def test_head_of_what_is_not_there(api: Api) -> None:
    assert (await api("HEAD", f"/abonnement/{uuid4()}")).status == 404
    assert (await api("HEAD", "/kanaal", auth=None)).status == 403


@pytest.mark.parametrize("path", ["", "/"])
async def test_links_for_anyone(api: Api, path: str) -> None:
    answer = await api.get(path, auth=None)
    assert answer.json == {name: f"{api.root}/{name}" for name in ("kanaal", "abonnement", "notificaties")}


@pytest.mark.parametrize(
    "path",
    [
        "/kanaal/",
        "/abonnement/",
        "/notificaties/",
        "/kanalen",
        "//kanaal",
        "/Kanaal",
        f"/kanaal/{NOWHERE}/",
        f"/abonnement/{NOWHERE}/x",
        "/kanaal/zaken%2F",
        "http://{host}/api/v2/kanaal",
        "http://{host}/api/kanaal",
        "http://{host}/kanaal",
        "http://{host}/api",
    ],
)
async def test_what_is_no_path(api: Api, path: str) -> None:
    await is_nowhere(api, path, "een / te veel")


@pytest.mark.parametrize(
    "path",
    [
        "/kanaal/1",
        "/kanaal/abc",
        f"/kanaal/{NOWHERE}x",
        "/kanaal/%7B5a3ae2f6-1c9b-4d27-9d0f-6b8a1e1f3c11%7D",
        f"/kanaal/{NOWHERE.hex}",
        f"/abonnement/{str(NOWHERE)[:-1]}",
        "/abonnement/%00",
    ],
)
async def test_what_has_no_uuid(api: Api, path: str) -> None:
    await is_nowhere(api, path, "staat geen UUID")


async def is_nowhere(api: Api, path: str, told: str) -> None:
    """Whether each method is answered 404, and what is told."""
    host = api.root.split("/")[2]
    for method in ("GET", "POST", "DELETE"):
        # Before method, Accept and token.
        answer = await api(method, path.format(host=host), auth=None, headers={"Accept": "text/html"})
        assert answer.outcome == (404, "not_found")
        assert told in answer.json["detail"]


@pytest.mark.parametrize("kind", ["kanaal", "abonnement"])
@pytest.mark.parametrize("uuid", [str(NOWHERE), UUID_V1, str(UUID(int=0))], ids=["v4", "v1", "nil"])
async def test_what_does_not_exist(api: Api, kind: str, uuid: str) -> None:
    for method in ("GET", "PUT", "PATCH") if kind == "kanaal" else ("GET", "PUT", "PATCH", "DELETE"):
        assert (await api(method, f"/{kind}/{uuid}", auth=None)).outcome == (403, "permission_denied")
        # Before query, media type and body.
        assert (await api(method, f"/{kind}/{uuid}?x=1")).outcome == (404, "not_found")


async def test_ids_are_uuids_of_version_4_in_any_case(api: Api, things: Things) -> None:
    for path in (things.paths["kanaal/1"], things.paths["abonnement/1"]):
        kind, uuid = path[1:].split("/")
        assert UUID(uuid).version == 4
        answer = await api.get(f"/{kind}/{uuid.upper()}")
        assert answer.json["url"] == api.root + path


@pytest.mark.parametrize(
    ("method", "path"),
    [(row[1], row[0]) for row in ROWS]
    + [("PUT", "abonnement/1"), ("PATCH", "abonnement/1"), ("DELETE", "abonnement/1"), ("GET", "/")],
)
async def test_unknown_query_parameters(api: Api, things: Things, method: str, path: str) -> None:
    answer = await api(method, things.paths[path] + "?pagina=1")
    assert answer.params == {("nonFieldErrors", "unknown-parameters")}


async def test_naam(api: Api) -> None:
    naam = a_naam()
    for one in (naam, naam.upper(), naam + " x&y=é"):
        assert (await api.post("/kanaal", {"naam": one})).status == 201

    async def found(query: str) -> list[str]:
        return [kanaal["naam"] for kanaal in (await api.get("/kanaal" + query)).json]

    assert await found(f"?naam={naam}") == [naam]
    assert await found(f"?naam={naam.upper()}") == [naam.upper()]
    assert await found(f"?naam={naam}%20x%26y%3D%C3%A9") == [naam + " x&y=é"]
    assert await found(f"?naam={naam[:-1]}") == []
    assert await found("?naam=%00") == []
    assert await found("?naam=%FF") == []
    assert await found("?naam=") == await found("")
    assert {naam, naam.upper()} <= set(await found(""))
    twice = await api.get(f"/kanaal?naam={naam}&naam={naam.upper()}")
    assert twice.params == {("naam", "invalid")}
    assert (await api.get(f"/kanaal?naam={naam}&name=x")).params == {("nonFieldErrors", "unknown-parameters")}


async def test_everyones_abonnementen_are_listed(api: Api, things: Things) -> None:
    path = things.paths["abonnement/1"]
    for client_id in ("bron", "ander"):
        listed = (await api.of(client_id).get("/abonnement")).json
        assert api.root + path in {abonnement["url"] for abonnement in listed}


# -- Accept


@pytest.mark.parametrize(("path", "method"), [(row[0], row[1]) for row in ROWS] + [("/", "GET")])
async def test_a_client_that_takes_no_json(api: Api, things: Things, path: str, method: str) -> None:
    for accept in ("text/html", "application/problem+json", "application/json;q=0"):
        # Before the token is looked at.
        answer = await api(method, things.paths[path], auth=None, headers={"Accept": accept})
        assert answer.outcome == (406, "not_acceptable")


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/*;q=0.2", "text/html, */*;q=0.1"])
async def test_a_client_that_takes_json(api: Api, accept: str) -> None:
    assert (await api.get("/kanaal", headers={"Accept": accept})).status == 200
    # A problem goes out as a problem all the same.
    assert (await api.get("/kanaal", headers={"Accept": accept}, auth=None)).status == 403


# -- the root that the client used


async def test_url_and_location_start_with_the_root_that_the_client_used(api: Api, things: Things) -> None:
    host = {"Host": "nrc.example.nl:8443"}
    root = "http://nrc.example.nl:8443/api/v1"
    made = await api.post("/kanaal", {"naam": a_naam()}, headers=host)
    assert made.headers["Location"] == made.json["url"]
    assert made.json["url"].startswith(root + "/kanaal/")
    made = await api.post("/abonnement", abonnement_of(things.naam), headers=host)
    assert made.headers["Location"] == made.json["url"]
    assert made.json["url"].startswith(root + "/abonnement/")
    problem = await api.get("/kanaal", auth=None, headers=host)
    assert problem.json["type"] == "http://nrc.example.nl:8443/ref/fouten/PermissionDenied/"
    spoofed = await api.get("", headers={**host, "X-Forwarded-Host": "evil.example"})
    assert spoofed.json["kanaal"] == root + "/kanaal"


async def test_a_trusted_proxy_and_a_public_url(stage: Stage) -> None:
    proxy = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "api.example.nl",
        "X-Forwarded-Prefix": "/nrc",
    }
    trusted = stage.settings.model_validate({"trusted_proxies": "127.0.0.0/8"}).trusted_proxies
    async with stage.gateway(trusted_proxies=trusted) as api:
        answer = await api.get("", headers=proxy)
        assert answer.json["kanaal"] == "https://api.example.nl/nrc/api/v1/kanaal"
        answer = await api.get("/x", headers=proxy)
        assert answer.json["type"] == "https://api.example.nl/nrc/ref/fouten/NotFound/"
    async with stage.gateway(trusted_proxies=trusted, public_url="https://nrc.nl") as api:
        answer = await api.get("", headers=proxy)
        assert answer.json["kanaal"] == "https://nrc.nl/api/v1/kanaal"


async def test_http_1_0_as_the_guide_writes_it(api: Api) -> None:
    naam = a_naam()
    auth = f"Authorization: {token()}\r\n".encode()
    target = "https://notificaties-api.vng.cloud/api/v1/kanaal"
    answer = await raw(api.root, f"GET {target}?naam={naam} HTTP/1.0\r\n".encode() + auth + b"\r\n")
    assert (answer.status, answer.json) == (200, [])
    body = json.dumps({"naam": naam}).encode()
    head = f"POST {target} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    answer = await raw(api.root, head.encode() + auth + b"\r\n" + body)
    assert answer.status == 201
    assert answer.headers["Location"].startswith("http://notificaties-api.vng.cloud/api/v1/kanaal/")
    answer = await raw(api.root, f"GET /api/v1/kanaal?naam={naam} HTTP/1.0\r\n".encode() + auth + b"\r\n")
    assert answer.json[0]["url"].startswith(f"{api.root}/kanaal/")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_client_that_sends_no_more_still_gets_its_answer(api: Api, version: str) -> None:
    """As `nc -N` does, and some old clients: the sending side is closed right after the request."""
    request = f"GET /api/v1 HTTP/{version}\r\nHost: a\r\n\r\n".encode()
    assert (await raw(api.root, request, half_close=True)).status == 200
    with pytest.raises(asyncio.IncompleteReadError):
        await raw(api.root, b"GET /api/v1 HTTP/1.1\r\nHost:", half_close=True)
