"""The JSON schema of a setup file, by which editors complete names and mark faults."""

from __future__ import annotations

from typing import Any

from nrc.setup.model import SetupFile

_SCALARS = frozenset({"string", "boolean", "integer", "number"})
_OUTSIDE = {"$ref": "#/$defs/ValueFrom"}
_VALUE_FROM: dict[str, Any] = {
    "type": "object",
    "description": "A value that stands elsewhere: in the environment, or in a file beside this one.",
    "additionalProperties": False,
    "required": ["value_from"],
    "properties": {
        "value_from": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "env": {"type": "string", "description": "The name of a variable."},
                "file": {"type": "string", "description": "The path of a file, from the folder of this one."},
                "required": {
                    "type": "boolean",
                    "description": "false: left out where there is no such value. Default: true.",
                },
                "default": {"description": "The value where there is none."},
            },
            "oneOf": [{"required": ["env"]}, {"required": ["file"]}],
        }
    },
}


def json_schema() -> dict[str, Any]:
    """The schema (2020-12), in which every value may be a `value_from`."""
    schema = SetupFile.model_json_schema()
    wrapped: dict[str, Any] = _wrapped(schema)
    wrapped["$defs"] = {**wrapped["$defs"], "ValueFrom": _VALUE_FROM}
    wrapped["title"] = "Setup file of the notificatierouteringcomponent"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **wrapped}


def _wrapped(schema: Any) -> Any:
    """The same, with `value_from` beside each scalar, and with the scalars that stand for a text."""
    if isinstance(schema, list):
        return [_wrapped(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _keyword(key, value) for key, value in schema.items()}
    if inner.get("type") in _SCALARS:
        told = {key: inner.pop(key) for key in ("description", "title", "default") if key in inner}
        if inner == {"type": "string"}:
            inner["type"] = ["string", "number", "boolean"]
        return {"anyOf": [inner, _OUTSIDE], **told}
    return inner


def _keyword(key: str, value: Any) -> Any:
    if key in ("properties", "$defs"):
        return {name: _wrapped(each) for name, each in value.items()}
    return _wrapped(value) if key in ("items", "anyOf", "additionalProperties") else value
