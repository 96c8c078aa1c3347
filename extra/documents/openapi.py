"""The OAS document of `/api/extra/v1`: openapi.yaml, with components that the standard's has too.

So an error is described once: what the document refers to and does not have is taken from that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from extra.asking import ROOT
from gateway.documents.openapi import document as standard

PATHS = (f"{ROOT}/openapi.json", f"{ROOT}/openapi.yaml")


@lru_cache(maxsize=16)
def document(prefix: str = "") -> dict[str, Any]:
    """The document as a value. prefix: what a proxy puts before /api/extra/v1."""
    text = files("extra.documents").joinpath("openapi.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    content["servers"] = [{"url": f"{prefix}{ROOT}"}]
    for item in content["paths"].values():
        for server in item.get("servers", ()):  # of what stands under the standard's own root
            server["url"] = prefix + server["url"]
    components = content["components"]
    while missing := [each for each in _references(content) if each[1] not in components.get(each[0], {})]:
        for kind, name in missing:
            components.setdefault(kind, {})[name] = standard()["components"][kind][name]
    return content


def as_yaml(prefix: str) -> str:
    """The document as it is served."""
    text: str = yaml.safe_dump(document(prefix), allow_unicode=True, sort_keys=False, width=110)
    return text


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) of each component that is referred to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            kind, name = value["$ref"].removeprefix("#/components/").split("/")
            yield kind, name
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)
