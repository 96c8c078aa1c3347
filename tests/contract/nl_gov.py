"""The NL GOV profile for CloudEvents 1.1 as a judge of events in JSON. It has no JSON schema: this is ours.

Each rule that the profile, and CloudEvents 1.0 under it, state with MUST and that one event shows by itself,
and those of its SHOULD that NRC keeps. `CLOUDEVENTS_SCHEMA` is CloudEvents' own JSON schema where somebody
has it: it judges too then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft7Validator

CLOUDEVENTS_SCHEMA = os.environ.get("NRC_TEST_CLOUDEVENTS_SCHEMA", "")
"""A copy of cloudevents/formats/cloudevents.json of github.com/cloudevents/spec."""

_NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]*$"
_URI_REFERENCE = r"^([A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$"
_RFC_3339 = r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$"
_TEXT = {"type": "string", "minLength": 1, "pattern": _NO_CONTROL}


def _or_null(rule: dict[str, Any]) -> dict[str, Any]:
    """JSON may say null of an attribute that is not there."""
    return {"anyOf": [{"type": "null"}, rule]}


RULES: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "propertyNames": {"pattern": "^([a-z0-9]{1,20}|data_base64)$"},
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": {"type": "string", "pattern": _URI_REFERENCE},
        # A domain the other way round, and at most one version, as v and a number.
        "type": {
            **_TEXT,
            "pattern": r"^[a-z]{2,63}(\.[^.\x00-\x1f\x7f-\x9f]+)+$",
            "not": {"pattern": r"\.v\d+(\.|$).*\.v\d+(\.|$)"},
        },
        "subject": _or_null(_TEXT),
        "time": _or_null({"type": "string", "pattern": _RFC_3339}),
        "datacontenttype": _or_null({"type": "string", "pattern": r"^[^\s/;]+/[^\s/;]+(\s*;.*)?$"}),
        "dataschema": _or_null({"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9+.\-]*:"}),
        "dataref": _or_null({"type": "string", "pattern": _URI_REFERENCE}),
        "sequence": _or_null(_TEXT),
        "sequencetype": _or_null(_TEXT),
        "data": {},
        "data_base64": _or_null({"type": "string", "pattern": r"^[A-Za-z0-9+/]*={0,2}$"}),
    },
    "additionalProperties": {
        "anyOf": [
            {"type": ["boolean", "null"]},
            {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
            {"type": "string", "pattern": _NO_CONTROL},
        ]
    },
    "not": {"required": ["data", "data_base64"]},
}


@cache
def _judges() -> tuple[Draft7Validator, ...]:
    schemas = [RULES]
    if CLOUDEVENTS_SCHEMA:
        schemas.append(json.loads(Path(CLOUDEVENTS_SCHEMA).read_text()))
    for schema in schemas:
        Draft7Validator.check_schema(schema)
    return tuple(Draft7Validator(schema) for schema in schemas)


def event_of(headers: Iterable[tuple[str, str]], body: bytes) -> BaseCloudEvent:
    """The event of a request as the SDK reads it, judged; of the binary form as the SDK writes it in JSON."""
    given = {name.lower(): value for name, value in headers}
    event = from_http(HTTPMessage(given, body), JSONFormat())
    assert_event(JSONFormat().write(event) if "ce-id" in given else body)
    return event


def assert_event(body: bytes) -> None:
    """AssertionError with every rule that an event in JSON breaks."""
    event = json.loads(body)
    faults = [
        f"{'.'.join(map(str, fault.absolute_path)) or 'the event'}: {fault.message}"
        for judge in _judges()
        for fault in judge.iter_errors(event)
    ]
    assert not faults, "\n".join(faults)
