"""The OAS document: valid, readable to clients, and the standard's own in all but what is listed here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from jsonschema import Draft4Validator
from openapi_spec_validator import validate

from gateway.documents.openapi import document
from gateway.documents.pages import ERRORS
from schemas.errors import Problem
from tests.contract.conformance import PROBLEM, assert_problem, deref, formats

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
OFFICIAL = Path(__file__).parents[3].parent / "shared" / "data" / "openapi-nrc-1.0.1.yaml"

# Everything in which our document may differ from the official one, and nothing else.
OUR_OPERATIONS = {
    ("/kanaal/{uuid}", "put"): "kanaal_update",
    ("/kanaal/{uuid}", "patch"): "kanaal_partial_update",
}
OUR_SCHEMAS = {"PatchedAbonnement", "PatchedKanaal"}
OUR_PROPERTIES = {"Abonnement": {"sendCloudevents", "cloudeventFilters"}}
"""Extensions; none of them is required, nor in an answer of what does not use it."""
REPLACED_STATUS = {("/notificaties", "post"): ("200", "201")}
NO_MIN_LENGTH = {("FilterGroup", "filters"), ("Message", "kenmerken")}

WORDS = {"title", "description", "example", "default"}
"""Texts, which are our own."""


def operations(paths: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation) of all that a document has."""
    for path, item in paths.items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def rules(schema: Any) -> Any:
    """A schema without its texts, so that what is left is what it demands."""
    if isinstance(schema, dict):
        # A property may be called title or description; below `properties` every key stays.
        return {
            key: {name: rules(sub) for name, sub in value.items()} if key == "properties" else rules(value)
            for key, value in schema.items()
            if key not in WORDS
        }
    if isinstance(schema, list):
        return sorted(schema) if all(isinstance(item, str) for item in schema) else list(map(rules, schema))
    return schema


@pytest.fixture(scope="module")
def official() -> dict[str, Any]:
    if not OFFICIAL.exists():
        pytest.skip("the official document is not at hand")
    content: dict[str, Any] = yaml.safe_load(OFFICIAL.read_text())
    return content


def test_it_is_valid_openapi() -> None:
    validate(document())


def test_it_is_the_version_that_clients_read() -> None:
    # zds-client refuses all that does not start with 3.0.
    assert document()["openapi"].startswith("3.0.")
    assert document()["info"]["version"] == "1.0.1"
    assert document()["servers"] == [{"url": "/api/v1"}]


def test_a_path_item_holds_only_methods_and_parameters() -> None:
    # zds-client takes every key but `parameters` for a method and asks its operationId.
    for path, item in document()["paths"].items():
        assert set(item) <= {*METHODS, "parameters"}, path
        assert "parameters" in item, path
        assert all("operationId" in item[method] for method in item if method != "parameters"), path


def test_parameters_stand_where_they_are_used() -> None:
    for path, item in document()["paths"].items():
        listed = [item["parameters"], *(op.get("parameters", []) for _, _, op in operations({path: item}))]
        for parameter in [parameter for several in listed for parameter in several]:
            assert "$ref" not in parameter, path
            assert "required" in parameter, path


def test_bodies_that_clients_look_up_are_written_out() -> None:
    # zds-client 0.11 follows requestBody → content → application/json → schema → $ref by hand.
    for path, method, operation in operations(document()["paths"]):
        bodies = [response for status, response in operation["responses"].items() if status < "300"]
        if method in ("post", "put", "patch"):
            bodies.append(operation["requestBody"])
            assert set(operation["requestBody"]["content"]) == {"application/json"}, path
            assert operation["requestBody"]["required"] is True
        for body in bodies:
            if "content" in body:
                schema = body["content"]["application/json"]["schema"]
                assert "$ref" in schema or "$ref" in schema["items"], (path, method)


def test_operation_ids_are_unique() -> None:
    names = [operation["operationId"] for _, _, operation in operations(document()["paths"])]
    assert len(names) == len(set(names)) == 12


def test_every_operation_documents_every_error_that_it_can_answer() -> None:
    always = {"400", "403", "406", "429", "500", "503"}
    for path, method, operation in operations(document()["paths"]):
        expected = always | ({"404"} if "{uuid}" in path else set())
        if "requestBody" in operation:
            expected |= {"413", "415"}
        if path == "/notificaties":
            expected |= {"508"}
        assert expected <= set(operation["responses"]), (path, method)
    # 404 on a path and 405 on a method that are not in the document cannot be in it.
    problems = {str(problem.status) for problem in Problem.__subclasses__()}
    assert problems == always | {"404", "405", "413", "415", "508"}


def test_every_answer_has_the_version_and_errors_are_problems() -> None:
    for path, method, operation in operations(document()["paths"]):
        for status, response in operation["responses"].items():
            where = (path, method, status)
            response = deref(response)
            assert deref(response["headers"]["API-version"])["required"] is True, where
            if status >= "400":
                assert set(response["content"]) == {"application/problem+json"}, where
            if status == "201":
                assert {"Location", "nrc-notificatie-id"} & set(response["headers"]), where
            if status in ("429", "503"):
                assert "Retry-After" in response["headers"], where


def test_auth_is_never_answered() -> None:
    for name in ("Abonnement", "PatchedAbonnement"):
        assert document()["components"]["schemas"][name]["properties"]["auth"]["writeOnly"] is True


def test_the_patch_schemas_are_the_full_ones_without_required() -> None:
    schemas = document()["components"]["schemas"]
    for name in ("Kanaal", "Abonnement"):
        whole = rules(schemas[name])
        del whole["required"]
        assert rules(schemas[f"Patched{name}"]) == whole


def test_our_examples_keep_our_own_rules() -> None:
    for name, schema in document()["components"]["schemas"].items():
        for field, sub in schema["properties"].items():
            if "example" in sub:
                faults = list(Draft4Validator(sub, format_checker=formats).iter_errors(sub["example"]))
                assert not faults, (name, field)


def test_the_examples_of_errors_are_ones_that_we_give() -> None:
    seen = set()
    for name, response in document()["components"]["responses"].items():
        example = response["content"][PROBLEM].get("example")
        if example is None:
            assert "niet gegeven" in response["description"], name
            continue
        answer = SimpleNamespace(
            status=example["status"],
            headers={"API-version": "1.0.1", "Content-Type": PROBLEM},
            body=json.dumps(example).encode(),
        )
        assert_problem(answer)
        seen.add(example["type"].split("/")[-2])
    assert seen == {kind.__name__ for kind in ERRORS} - {"ParseError", "MethodNotAllowed"}


def test_no_address_is_anyone_s() -> None:
    text = yaml.safe_dump(document(), allow_unicode=True)
    hosts = {part.partition("/")[0] for part in text.split("https://")[1:]}
    assert all(host.endswith(".example.nl") for host in hosts), hosts
    assert "http://" not in text


def test_paths_and_operation_ids_are_the_official_ones(official: dict[str, Any]) -> None:
    def listed(doc: dict[str, Any]) -> dict[tuple[str, str], str]:
        return {(path, method): op["operationId"] for path, method, op in operations(doc["paths"])}

    assert listed(document()) == {**listed(official), **OUR_OPERATIONS}
    assert list(document()["paths"]) == list(official["paths"])


def test_parameters_security_and_tags_are_the_official_ones(official: dict[str, Any]) -> None:
    for path, method, theirs in operations(official["paths"]):
        ours = document()["paths"][path][method]
        for key in ("parameters", "security", "tags"):
            assert rules(ours.get(key)) == rules(theirs.get(key)), (path, method, key)
        assert rules(document()["paths"][path]["parameters"]) == rules(official["paths"][path]["parameters"])
    schemes = [rules(doc["components"]["securitySchemes"]) for doc in (document(), official)]
    assert schemes[0] == schemes[1]
    assert document()["security"] == official["security"]


def test_no_official_status_is_missing(official: dict[str, Any]) -> None:
    for path, method, theirs in operations(official["paths"]):
        ours = document()["paths"][path][method]["responses"]
        expected = set(theirs["responses"])
        if replaced := REPLACED_STATUS.get((path, method)):
            expected = expected - {replaced[0]} | {replaced[1]}
        assert expected <= set(ours), (path, method)
        for status in expected & set(theirs["responses"]):
            headers = set(deref(ours[status])["headers"])
            assert set(theirs["responses"][status]["headers"]) <= headers, (path, method, status)


def test_official_bodies_are_the_official_ones(official: dict[str, Any]) -> None:
    for path, method, theirs in operations(official["paths"]):
        ours = document()["paths"][path][method]
        for status, response in theirs["responses"].items():
            if status not in ours["responses"] or "content" not in response:
                continue
            mine = deref(ours["responses"][status])["content"]
            if status == "400":  # a body that is no JSON has no invalidParams: Fout beside ValidatieFout
                mine_schema = mine["application/problem+json"]["schema"]
                options = mine_schema.get("anyOf", [mine_schema])
                assert response["content"]["application/problem+json"]["schema"] in options
            else:
                assert rules(mine) == rules(response["content"]), (path, method, status)


def test_schemas_limits_and_required_are_the_official_ones(official: dict[str, Any]) -> None:
    theirs, ours = official["components"]["schemas"], document()["components"]["schemas"]
    assert set(ours) == set(theirs) | OUR_SCHEMAS
    for name in theirs:
        expected, found = rules(theirs[name]), rules(ours[name])
        for schema, field in NO_MIN_LENGTH:
            if schema == name:
                del expected["properties"][field]["additionalProperties"]["minLength"]
        for ours_alone in OUR_PROPERTIES.get(name, ()):
            assert ours_alone not in found.get("required", ())
            del found["properties"][ours_alone]
        if name == "Abonnement":
            assert found["properties"]["auth"].pop("writeOnly") is True
        if name == "Kanaal":
            link = found["properties"]["documentatieLink"]
            assert link.pop("anyOf") == [
                {"type": "string", "format": "uri"},
                {"type": "string", "maxLength": 0},
            ]
            assert expected["properties"]["documentatieLink"].pop("format") == "uri"
        assert found == expected, name


def test_texts_are_our_own(official: dict[str, Any]) -> None:
    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, sub in value.items():
                if key == "description" and isinstance(sub, str):
                    yield " ".join(sub.split())
                else:
                    yield from texts(sub)
        elif isinstance(value, list):
            for sub in value:
                yield from texts(sub)

    shared = {text for text in texts(document()) if len(text) > 40} & set(texts(official))
    assert not shared
