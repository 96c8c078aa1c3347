"""The OAS document of `/api/extra/v1`: valid, served, and complete."""

from __future__ import annotations

from typing import Any

import yaml
from openapi_spec_validator import validate

from extra.documents.openapi import document
from extra.mounting import ROUTES
from gateway.documents.openapi import document as standard
from tests.contract.api import Api
from tests.contract.conformance import PROBLEM, deref
from tests.contract.documents.test_openapi import operations
from tests.contract.extra.conftest import extra_root

BESIDE_THE_STANDARD = {("/cloudevents", "post"), ("/callbacks", "post"), ("/jwtsecret/", "post")}
"""Of the gateway itself, beside the standard's paths."""

ALWAYS = {"400", "403", "406", "429", "500", "503"}


def test_it_is_valid_and_of_the_version_that_clients_read() -> None:
    validate(document())
    assert document()["openapi"].startswith("3.0.")
    assert document("/gemeente")["servers"] == [{"url": "/gemeente/api/extra/v1"}]
    for path, _ in BESIDE_THE_STANDARD:
        assert document("/gemeente")["paths"][path]["servers"] == [{"url": "/gemeente/api/v1"}]
    assert {path for path, item in document()["paths"].items() if "servers" in item} == {
        path for path, _ in BESIDE_THE_STANDARD
    }


def test_it_has_every_route_and_no_other() -> None:
    routes = set()
    for route in ROUTES:
        path = "".join(part.partition(":")[0] + "}" if ":" in part else part for part in _parts(route.path))
        routes.add((path.removeprefix("/api/extra/v1"), route.method.lower()))
    documented = {(path, method) for path, method, _ in operations(document()["paths"])}
    assert routes - {("", "get"), ("/", "get")} == documented - BESIDE_THE_STANDARD


def _parts(path: str) -> list[str]:
    """A route's path, each parameter apart with its expression up to its last brace."""
    parts, depth, text = [], 0, ""
    for char in path:
        if char == "{" and depth == 0:
            parts.append(text)
            text = ""
        depth += {"{": 1, "}": -1}.get(char, 0)
        text += char
        if char == "}" and depth == 0:
            parts.append(text)
            text = ""
    return [*parts, text]


def test_every_operation_documents_every_error_that_it_can_answer() -> None:
    names = []
    for path, method, operation in operations(document()["paths"]):
        names.append(operation["operationId"])
        expected = ALWAYS | ({"404"} if "{" in path else set())
        expected |= {"413", "415"} if "requestBody" in operation else set()
        assert expected <= set(operation["responses"]), (path, method)
        for status, response in operation["responses"].items():
            response = deref(response, document())
            assert deref(response["headers"]["API-version"], document())["required"] is True
            if status >= "400":
                assert set(response["content"]) == {PROBLEM}
            if status in ("429", "503"):
                assert "Retry-After" in response["headers"]
    assert len(names) == len(set(names))


def test_what_it_shares_with_the_standard_s_document_is_the_same() -> None:
    ours: dict[str, Any] = document()["components"]
    for name in ("Fout", "ValidatieFout", "Message"):
        assert ours["schemas"][name] == standard()["components"]["schemas"][name]


async def test_it_is_served_to_anyone(fast: Api) -> None:
    for suffix in ("yaml", "json"):
        answer = await fast.get(f"{extra_root(fast)}/openapi.{suffix}", auth=None)
        assert answer.status == 200
        assert yaml.safe_load(answer.body) == document()
