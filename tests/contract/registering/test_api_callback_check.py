"""STANDARD: Callback check, with real callbacks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from deliverer.http.client import CallbackClient
from deliverer.http.guard import Policy
from gateway.api.callback_check import check_callback, check_documentation
from runtime.settings import load_settings
from schemas.errors import Overloaded
from tests.callback_server import Received, Script, close, hang, raw, reset
from tests.contract.api import Api, Callback, a_naam, asks_for_auth
from tests.contract.conftest import Stage
from tests.open_files import no_more_files

NO_AUTH = {("callbackUrl", "no-auth-on-callback-url")}
INVALID = {("nonFieldErrors", "invalid-callback-url")}

TEST_MESSAGE = {
    "kanaal": "test",
    "hoofdObject": "http://some.hoofdobject.nl/",
    "resource": "some_resource",
    "resourceUrl": "http://some.resource.nl/",
    "actie": "create",
    "aanmaakdatum": "2019-01-01T12:00:00Z",
    "kenmerken": {},
}


@pytest.fixture(scope="module")
async def checking(stage: Stage) -> AsyncIterator[Api]:
    """A gateway with the full check."""
    async with stage.gateway(callback_check="full", callback_timeout=1.0) as api:
        yield api


def sent(url: str, **changes: Any) -> dict[str, Any]:
    return {"callbackUrl": url, "auth": "Token abc", "kanalen": [], **changes}


def statuses(without: int, with_auth: int) -> Callable[[Received], int]:
    return lambda request: with_auth if request.header("Authorization") else without


@pytest.mark.parametrize("check", ["full", "reachable"])
async def test_a_gateway_without_files_says_nothing_of_the_callback(callback: Callback, check: str) -> None:
    settings = load_settings(_env_file=None, callback_check=check, documentation_link_check="required")
    async with CallbackClient(policy=Policy(allow_loopback=True)) as client:
        with no_more_files(), pytest.raises(Overloaded):
            await check_callback(client, url=callback.url("/a"), auth="Token a", settings=settings)
        with no_more_files(), pytest.raises(Overloaded):
            await check_documentation(client, callback.url("/a"), settings=settings)


@pytest.mark.parametrize(
    ("decide", "requests", "faults"),
    [
        (statuses(401, 200), 2, None),
        (statuses(403, 204), 2, None),
        (statuses(403, 299), 2, None),
        (statuses(200, 200), 1, NO_AUTH),
        (statuses(204, 204), 1, NO_AUTH),
        (statuses(302, 200), 1, NO_AUTH),
        (statuses(404, 200), 1, NO_AUTH),
        (statuses(500, 200), 1, NO_AUTH),
        (statuses(401, 401), 2, INVALID),
        (statuses(401, 302), 2, INVALID),
        (statuses(403, 404), 2, INVALID),
        (statuses(401, 500), 2, INVALID),
    ],
)
async def test_full(
    checking: Api,
    callback: Callback,
    decide: Callable[[Received], int],
    requests: int,
    faults: set[tuple[str, str]] | None,
) -> None:
    callback.decide = decide
    answer = await checking.post("/abonnement", sent(callback.url(), auth="Token é"))
    if faults is None:
        assert answer.status == 201
    else:
        assert answer.params == faults
    assert callback.auths == [None, "Token é"][:requests]
    for request in callback.received:
        assert json.loads(request.body) == TEST_MESSAGE
        assert request.header("Content-Type") == "application/json"
    # PUT checks just the same.
    callback.decide = asks_for_auth
    made = await checking.post("/abonnement", sent(callback.url()))
    assert made.status == 201
    callback.received.clear()
    callback.decide = decide
    answer = await checking.put(made.json["url"], sent(callback.url()))
    assert answer.status == 200 if faults is None else answer.params == faults
    assert len(callback.received) == requests


@pytest.mark.parametrize(
    ("mode", "without", "with_auth", "requests", "faults"),
    [
        ("reachable", 200, 200, 1, None),
        ("reachable", 401, 302, 1, INVALID),
        ("reachable", 200, 500, 1, INVALID),
        ("off", 500, 500, 0, None),
    ],
)
async def test_other_modes(
    stage: Stage,
    callback: Callback,
    mode: str,
    without: int,
    with_auth: int,
    requests: int,
    faults: set[tuple[str, str]] | None,
) -> None:
    callback.decide = statuses(without, with_auth)
    async with stage.gateway(callback_check=mode) as api:
        answer = await api.post("/abonnement", sent(callback.url()))
        assert answer.status == 201 if faults is None else answer.params == faults
    assert callback.auths == ["Token abc"] * requests


async def test_exempt_hosts_need_not_ask_for_auth(stage: Stage, callback: Callback) -> None:
    callback.decide = statuses(200, 200)
    url = callback.url().replace("127.0.0.1", "LOCALHOST")
    async with stage.gateway(callback_check="full", callback_check_exempt_hosts=("localhost",)) as api:
        assert (await api.post("/abonnement", sent(url))).status == 201
        assert callback.auths == ["Token abc"]
        assert (await api.post("/abonnement", sent(callback.url()))).params == NO_AUTH
        callback.decide = statuses(200, 500)
        assert (await api.post("/abonnement", sent(url))).params == INVALID


@pytest.mark.parametrize("script", [hang(), close(), reset(), raw(b"SSH-2.0-OpenSSH_9\r\n")])
async def test_no_answer_at_all(checking: Api, callback: Callback, script: Script) -> None:
    callback.script("/", script)
    assert (await checking.post("/abonnement", sent(callback.url()))).params == INVALID
    assert len(callback.received) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "https://127.0.0.1:9/", "http://bestaat-niet.invalid/", "http://[::1]:9/"]
)
async def test_unreachable(checking: Api, url: str) -> None:
    assert (await checking.post("/abonnement", sent(url))).params == INVALID


async def test_no_answer_to_the_second_request(checking: Api, callback: Callback) -> None:
    def decide(request: Received) -> int:
        if request.header("Authorization") is None:
            return 401
        callback.hold = asyncio.Event()
        return 204

    callback.decide = decide
    answer = await checking.post("/abonnement", sent(callback.url()))
    assert answer.params == INVALID
    assert callback.hold is not None
    callback.hold.set()


async def test_a_refused_callback_leaves_nothing_behind(checking: Api, callback: Callback) -> None:
    before = len((await checking.get("/abonnement")).json)
    callback.decide = statuses(200, 200)
    assert (await checking.post("/abonnement", sent(callback.url()))).status == 400
    assert len((await checking.get("/abonnement")).json) == before


async def test_what_a_patch_checks(checking: Api, callback: Callback) -> None:
    naam = a_naam()
    await checking.post("/kanaal", {"naam": naam})
    answer = await checking.post("/abonnement", sent(callback.url()))
    url = answer.json["url"]

    async def asked(**changes: Any) -> list[str | None]:
        callback.received.clear()
        assert (await checking.patch(url, changes)).status == 200
        return callback.auths

    assert await asked() == []
    assert await asked(kanalen=[{"naam": naam}]) == []
    assert await asked(callbackUrl=callback.url(), auth="Token abc") == []
    # With the stored auth, and with the stored address.
    callback.script("/2", callback.answer)
    assert await asked(callbackUrl=callback.url("/2")) == [None, "Token abc"]
    assert await asked(auth="Token nieuw") == [None, "Token nieuw"]
    assert await asked(callbackUrl=callback.url(), kanalen=[]) == [None, "Token nieuw"]
    # A PUT always does.
    callback.received.clear()
    assert (await checking.put(url, sent(callback.url(), auth="Token nieuw"))).status == 200
    assert len(callback.received) == 2
    # What is refused changes nothing.
    callback.decide = statuses(401, 500)
    answer = await checking.patch(url, {"auth": "Token fout", "kanalen": [{"naam": naam}]})
    assert answer.params == INVALID
    assert (await checking.get(url)).json["kanalen"] == []
    callback.decide = asks_for_auth
    assert await asked(callbackUrl=callback.url("/2")) == [None, "Token nieuw"]
