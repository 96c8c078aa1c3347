"""Checks a rendered object against the schema that its API server has, of Kubernetes or of an operator.

Strict: a field that the server does not know is a fault here, where the server drops it in silence.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator

from tests.chart.helm import Object

OLDEST, NEWEST = "1.27", "1.37"
_SCHEMAS = Path(__file__).parent / "schemas"


@cache
def _of_operator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((_SCHEMAS / f"{kind}.json").read_text()))


def faults_of(each: Object) -> list[str]:
    """What is wrong with this object, a line each."""
    group = each["apiVersion"].partition("/")[0]
    if group in ("rabbitmq.com", "keda.sh", "monitoring.coreos.com"):
        found: list[Any] = list(_of_operator(each["kind"]).iter_errors(each))
        return [f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in found]
    lines = []
    for version in (OLDEST, NEWEST):
        try:
            kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.ValidationError as fault:
            lines.append(f"{version}: {'.'.join(map(str, fault.path))}: {fault.message}")
    return lines
