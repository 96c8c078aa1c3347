"""The software bill of materials: every Python package that a running NRC brings along, in CycloneDX 1.6.

Made from the pins of constraints.txt and the metadata of the packages in this environment, without the
network. The same inputs give the same bytes. RabbitMQ, Python and the system are not in it: whoever runs NRC
chooses those.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class Unfit(Exception):
    """The environment is not what constraints.txt says; the text says in what."""


def bill(*, version: str, constraints: Path, made_at: str) -> dict[str, Any]:
    """The bill of NRC `version`. made_at: RFC 3339.

    Raises Unfit when a package is missing or not as pinned.
    """
    pins = dict(_pins(constraints))
    needs = _needs("nrc")
    faults = sorted(_faults({*needs} - {"nrc"}, pins))
    if faults:
        raise Unfit("; ".join(faults))
    refs = {name: f"pkg:pypi/{name}@{pins[name]}" for name in needs if name != "nrc"}
    root = f"pkg:generic/nrc@{version}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid5(NAMESPACE_URL, " ".join([root, made_at, *sorted(refs.values())])).urn,
        "version": 1,
        "metadata": {
            "timestamp": made_at,
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "nrc",
                "version": version,
                "purl": root,
                "licenses": [{"license": {"id": "EUPL-1.2"}}],
            },
        },
        "components": [_component(name, pins[name], refs[name]) for name in sorted(refs)],
        "dependencies": [
            {
                "ref": refs.get(name, root),
                "dependsOn": sorted(refs[each] for each in needed),
            }
            for name, needed in sorted(needs.items())
        ],
    }


def text(made: dict[str, Any]) -> str:
    """A bill as it is written to a file."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _pins(constraints: Path) -> Iterator[tuple[str, str]]:
    for line in constraints.read_text().splitlines():
        name, _, version = line.partition("==")
        yield canonicalize_name(name), version


def _needs(name: str) -> dict[str, set[str]]:
    """Every package that `name` brings along on this Python, itself included, and what each needs itself."""
    found: dict[str, set[str]] = {}
    to_do: list[tuple[str, frozenset[str]]] = [(canonicalize_name(name), frozenset())]
    seen = set(to_do)
    while to_do:
        each, extras = to_do.pop()
        asked = list(_asked(each, extras))
        found.setdefault(each, set()).update(needed for needed, _ in asked)
        new = [one for one in asked if one not in seen]
        seen.update(new)
        to_do += new
    return found


def _asked(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in _distribution(name).requires or ():
        requirement = Requirement(line)
        wanted = [{"extra": extra} for extra in extras or {""}]
        needed = canonicalize_name(requirement.name)
        # sqlite-utils asks for pip, which every virtual environment brings and no pin names.
        if needed != "pip" and (
            requirement.marker is None or any(requirement.marker.evaluate(each) for each in wanted)
        ):
            yield needed, frozenset(requirement.extras)


def _faults(names: set[str], pins: dict[str, str]) -> Iterator[str]:
    for name in names:
        installed = _distribution(name).version
        if pins.get(name) != installed:
            pinned = pins.get(name, "absent")
            yield f"{name} is {installed} here and {pinned} in constraints.txt (`make setup`)"


def _distribution(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise Unfit(f"{name} is not installed (`make setup`)") from None


def _component(name: str, version: str, ref: str) -> dict[str, Any]:
    component = {"type": "library", "bom-ref": ref, "name": name, "version": version, "purl": ref}
    licenses = _licenses(_distribution(name))
    return {**component, "licenses": licenses} if licenses else component


def _licenses(found: Distribution) -> list[dict[str, Any]]:
    """As its makers say: an SPDX expression, or else the classifiers, or else a line of their own."""
    metadata = found.metadata
    if "License-Expression" in metadata:
        return [{"expression": metadata["License-Expression"]}]
    classifiers = metadata.get_all("Classifier") or []
    names = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    line = metadata["License"].strip() if "License" in metadata else ""
    if not names and line and "\n" not in line:  # some put the whole text there
        names = [line]
    return [{"license": {"name": name}} for name in names]
