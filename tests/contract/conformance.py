"""Whether an answer is one that our OAS allows: status, headers, media type and every field.

    assert_conforms("POST", "/kanaal", answer)

tests/contract/api.py checks every answer so. `answer` has `status`, `headers` and the whole `body` as bytes.
A method that is not in the document must have been refused with 405, and a path template that is not in it
with 404, both as a problem. Formats are checked too (uri, uuid, date-time), by rules of our own: those of
the validator need more packages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol
from uuid import UUID

from jsonschema import Draft4Validator, FormatChecker

from extra.documents.openapi import document as extra_document
from gateway.documents.openapi import document
from gateway.documents.pages import ERRORS

BESIDE = ("/callbacks", "/jwtsecret/")
PROBLEM = "application/problem+json"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# RFC 3339, and what the standard's implementations take beside it and send on as it came: no seconds.
_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)? ?(Z|[+-]\d\d(:?\d\d)?)", re.IGNORECASE
)


_DETAIL = re.compile(r"/(kanaal|abonnement)/[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class Answer(Protocol):
    """What is checked: a finished answer."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


formats = FormatChecker(formats=())


@formats.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or _URI.fullmatch(value) is not None


@formats.checks("uuid", raises=ValueError)
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or str(UUID(value)) == value.lower()


@formats.checks("date-time")
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or _DATE_TIME.fullmatch(value) is not None


def assert_conforms(method: str, path_template: str, answer: Answer, *, doc: Any = None) -> None:
    """AssertionError when our OAS does not allow this answer on this operation. doc: another document."""
    doc = doc or document()
    head = method == "HEAD"
    operation = doc["paths"].get(path_template, {}).get("get" if head else method.lower())
    if operation is None:
        known_path = path_template in doc["paths"]
        assert answer.status == (405 if known_path else 404), f"undocumented, yet {answer.status}"
        assert not known_path or answer.headers["Allow"]
        if not head:
            assert_problem(answer)
        return
    where = f"{operation['operationId']} {answer.status}"
    assert str(answer.status) in operation["responses"], f"{where} is not documented"
    documented = deref(operation["responses"][str(answer.status)], doc)
    _check_headers(documented, answer, where, doc)
    if head or "content" not in documented:
        assert answer.body == b"", f"{where} has no body"
        return
    media_type = answer.headers["Content-Type"].partition(";")[0]
    assert media_type in documented["content"], f"{where} is not {media_type}"
    _check_schema(documented["content"][media_type]["schema"], answer, where, doc)
    if answer.status >= 400:
        assert_problem(answer)


def assert_documented(method: str, url: str, answer: Answer) -> None:
    """`assert_conforms` for a URL, when it is one of our document's; other URLs pass."""
    if "/api/extra/v1/" in url:
        _assert_documented_extra(method, url.partition("?")[0].rpartition("/api/extra/v1")[2], answer)
        return
    path = url.partition("?")[0].rpartition("/api/v1")[2]
    if _DETAIL.fullmatch(path):
        path = path[: path.index("/", 1)] + "/{uuid}"
    if path in document()["paths"]:
        assert_conforms(method, path, answer)
    elif path in BESIDE or (path == "/cloudevents" and method == "POST" and answer.status != 404):
        # Not of the standard; the last one only where it is switched on.
        assert_conforms(method, path, answer, doc=extra_document())


def _assert_documented_extra(method: str, path: str, answer: Answer) -> None:
    """The same for a path of the other document, whose templates have several parameters."""
    for template in extra_document()["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[0-9A-Fa-f-]+", template), path):
            assert_conforms(method, template, answer, doc=extra_document())


def assert_problem(answer: Answer) -> None:
    """AssertionError when this is not the one form of problem that every error has, documented or not."""
    assert answer.headers["API-version"] == "1.0.1"
    assert answer.headers["Content-Type"] == PROBLEM
    content = json.loads(answer.body)
    schema = {"$ref": f"#/components/schemas/{'ValidatieFout' if 'invalidParams' in content else 'Fout'}"}
    _check_schema(schema, answer, "problem")
    assert content["status"] == answer.status
    kinds = {kind.__name__: kind for kind in ERRORS}
    kind = kinds[content["type"].rstrip("/").rpartition("/ref/fouten/")[2]]
    assert (content["status"], content["title"]) == (kind.status, kind.title)
    assert content["code"] in ERRORS[kind].get("codes", {kind.code}), "a code without an explanation"
    for param in content.get("invalidParams", ()):
        assert param["code"] in ERRORS[kind]["fields"], "a code without an explanation"
    scheme, _, number = content["instance"].rpartition(":")
    assert scheme == "urn:uuid"
    assert _UUID4.fullmatch(number)


def deref(value: Any, doc: Any = None) -> Any:
    """What a `$ref` of our document stands for; anything else as it is. doc: another document."""
    while isinstance(value, dict) and "$ref" in value:
        target: Any = doc or document()
        for step in value["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        value = target
    return value


def answer_schema(documented: Any, doc: Any = None) -> dict[str, Any]:
    """An OAS 3.0 schema as JSON Schema draft 4, for an answer: what is writeOnly may not be there."""
    schema: dict[str, Any] = dict(deref(documented, doc))
    properties = schema.get("properties", {})
    hidden = {name for name, sub in properties.items() if deref(sub, doc).get("writeOnly")}
    if schema.pop("nullable", False):
        schema["type"] = [schema["type"], "null"]
    if "properties" in schema:
        schema["properties"] = {
            name: {"not": {}} if name in hidden else answer_schema(sub, doc)
            for name, sub in properties.items()
        }
    if required := [name for name in schema.pop("required", ()) if name not in hidden]:
        schema["required"] = required
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = answer_schema(schema[key], doc)
    for key in ("anyOf", "allOf", "oneOf"):
        if key in schema:
            schema[key] = [answer_schema(sub, doc) for sub in schema[key]]
    return schema


@cache
def _validator(schema: str, title: str) -> Draft4Validator:
    doc = next(each for each in (document(), extra_document()) if each["info"]["title"] == title)
    return Draft4Validator(answer_schema(json.loads(schema), doc), format_checker=formats)


def _check_schema(schema: Any, answer: Answer, where: str, doc: Any = None) -> None:
    content = json.loads(answer.body)
    validator = _validator(json.dumps(schema), (doc or document())["info"]["title"])
    faults = [f"{where} {error.json_path}: {error.message}" for error in validator.iter_errors(content)]
    assert not faults, "\n".join(faults)


def _check_headers(documented: Any, answer: Answer, where: str, doc: Any) -> None:
    for name, header in documented.get("headers", {}).items():
        header = deref(header, doc)
        value = answer.headers.get(name)
        if value is None:
            assert not header.get("required"), f"{where} lacks {name}"
            continue
        schema = header["schema"]
        typed = int(value) if schema["type"] == "integer" else value
        Draft4Validator(schema, format_checker=formats).validate(typed)
    assert answer.headers["API-version"] == "1.0.1"
