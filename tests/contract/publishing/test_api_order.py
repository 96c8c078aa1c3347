"""STANDARD: Errors, the order of the checks. A request with every fault at once loses them one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.contract.api import Api, Callback, a_naam, abonnement_of
from tests.contract.conftest import Stage
from tests.tokens import token

TOO_LARGE = b'{"naam": "' + b"a" * 2000 + b"\xff"


@pytest.fixture
async def small(stage: Stage) -> AsyncIterator[Api]:
    """A gateway that takes 1 KiB and checks callbacks and documentation links."""
    async with stage.gateway(
        max_body=1024, callback_check="full", documentation_link_check="required"
    ) as api:
        yield api


class Request:
    """A request from which faults are taken one by one."""

    def __init__(self, api: Api, method: str, path: str) -> None:
        self.api = api
        self.method = method
        self.path = path
        self.options: dict[str, Any] = {
            "auth": None,
            "body": TOO_LARGE,
            "headers": {"Accept": "text/html", "Content-Type": "text/plain"},
        }

    async def outcome(self) -> tuple[int, str]:
        return (await self.api(self.method, self.path, **self.options)).outcome

    async def params(self) -> set[tuple[str, str]]:
        return (await self.api(self.method, self.path, **self.options)).params


async def test_post_kanaal(small: Api, callback: Callback) -> None:
    request = Request(small, "DELETE", "/kanaal/?x=1")
    assert await request.outcome() == (404, "not_found")
    request.path = "/kanaal?x=1"
    assert await request.outcome() == (405, "method_not_allowed")
    request.method = "POST"
    assert await request.outcome() == (406, "not_acceptable")
    del request.options["headers"]["Accept"]
    assert await request.outcome() == (403, "permission_denied")
    request.options["auth"] = token("wie")
    assert await request.outcome() == (403, "invalid-client-identifier")
    request.options["auth"] = token("afnemer")
    assert await request.outcome() == (403, "permission_denied")
    request.options["auth"] = token("bron")
    assert await request.params() == {("nonFieldErrors", "unknown-parameters")}
    request.path = "/kanaal"
    assert await request.outcome() == (415, "unsupported_media_type")
    request.options["headers"]["Content-Type"] = "application/json"
    assert await request.outcome() == (413, "request_too_large")
    request.options["body"] = b'{"naam": "\xff"}'
    assert await request.outcome() == (400, "parse_error")
    callback.decide = lambda _: 404
    link = {"documentatieLink": callback.url()}
    request.options["body"] = None
    naam = a_naam()

    async def with_data(**data: Any) -> set[tuple[str, str]]:
        return (await small("POST", request.path, data, **request.options)).params

    assert await with_data(**link, naam="", filters=[""]) == {("naam", "blank"), ("filters.0", "blank")}
    assert callback.received == []
    assert await with_data(**link, naam=naam) == {("documentatieLink", "bad-url")}
    assert len(callback.received) == 1


async def test_put_abonnement(small: Api, api: Api, callback: Callback) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam, "filters": ["a"]})
    made = (await api.post("/abonnement", abonnement_of(naam))).json["url"].removeprefix(api.root)
    request = Request(small, "PUT", f"/abonnement/{uuid4()}?x=1")
    del request.options["headers"]["Accept"]
    assert await request.outcome() == (403, "permission_denied")
    request.options["auth"] = token("ander")
    assert await request.outcome() == (404, "not_found")
    request.path = made + "?x=1"
    assert await request.outcome() == (403, "permission_denied")
    request.options["auth"] = token("beide")
    assert await request.params() == {("nonFieldErrors", "unknown-parameters")}
    request.path = made
    assert await request.outcome() == (415, "unsupported_media_type")
    request.options["headers"]["Content-Type"] = "application/json"
    assert await request.outcome() == (413, "request_too_large")
    request.options["body"] = b"{"
    assert await request.outcome() == (400, "parse_error")
    request.options["body"] = None
    callback.decide = lambda _: 500
    data = {"callbackUrl": callback.url(), "auth": "", "kanalen": [{"naam": "wat"}, {"naam": naam}]}
    answer = await small("PUT", made, data, **request.options)
    assert answer.params == {("auth", "blank"), ("naam", "kanaal_naam")}
    assert callback.received == []
    data = {"callbackUrl": callback.url(), "auth": "Token a", "kanalen": [{"naam": naam}]}
    answer = await small("PUT", made, data, **request.options)
    assert answer.params == {("callbackUrl", "no-auth-on-callback-url")}
    await api.delete(made)
