"""Renders the chart as Helm does: by `helm`, or by Helm's own engine in the package helm-python-sdk.

Both give the same objects, which are compared, not their text: two versions of Helm put comments and objects
in another order.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "nrc"
HERE = Path(__file__).parent
SETS = sorted(file.stem for file in (HERE / "values").glob("*.yaml"))
HELM = which("helm")

try:
    import helm_python
except ImportError:
    helm_python = None

needs_helm = pytest.mark.skipif(
    HELM is None and helm_python is None,
    reason="neither `helm` nor the package helm-python-sdk is here (it has wheels for x86-64 and macOS only)",
)

Object = dict[str, Any]


class Refused(Exception):
    """What Helm says of values that it does not render."""


def values_of(name: str) -> dict[str, Any]:
    """A set of values of the folder `values`."""
    values: dict[str, Any] = yaml.safe_load((HERE / "values" / f"{name}.yaml").read_text())
    return values


def with_values(values: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """The values with others: `a__b=1` is `a: {b: 1}`. A dict takes the place of the former one."""
    result: dict[str, Any] = json.loads(json.dumps(values))
    for path, value in changed.items():
        *above, last = path.split("__")
        within = result
        for key in above:
            within = within.setdefault(key, {})
        within[last] = value
    return result


def rendered(values: Mapping[str, Any], *, release: str = "nrc", namespace: str = "zaken") -> list[Object]:
    """The objects that Helm makes, by kind and name. Raises Refused."""
    if HELM is not None:
        text = _by_command(HELM, "template", values, release, namespace)
        made = list(yaml.safe_load_all(text))
    else:
        made = []
        for file, text in _by_library(values, release, namespace).items():
            if not file.endswith(".txt"):
                made += yaml.safe_load_all(text)
    return sorted((each for each in made if each), key=lambda each: (each["kind"], each["metadata"]["name"]))


def notes(values: Mapping[str, Any]) -> str:
    """What Helm says after an installation; only by the library, `helm template` does not show it."""
    return _by_library(values, "nrc", "zaken")["nrc/templates/NOTES.txt"]


def lint(values: Mapping[str, Any]) -> list[str]:
    """What `helm lint --strict` finds, of warnings and errors."""
    if HELM is not None:
        try:
            _by_command(HELM, "lint", values, "--strict")
        except Refused as refused:
            return [str(refused)]
        return []
    found = helm_python.lint(str(CHART), dict(values), strict=True)["messages"]
    return [each["error"] for each in found if each["severity"] > 1]


def _by_command(helm: str, what: str, values: Mapping[str, Any], *arguments: str) -> str:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "values.yaml"
        file.write_text(yaml.safe_dump(dict(values)))
        if what == "template":
            release, namespace = arguments
            arguments = (release, str(CHART), "--namespace", namespace)
        else:
            arguments = (str(CHART), *arguments)
        ran = subprocess.run(
            [helm, what, *arguments, "--values", file], capture_output=True, text=True, check=False
        )
    if ran.returncode:
        raise Refused(ran.stdout + ran.stderr)
    return ran.stdout


def _by_library(values: Mapping[str, Any], release: str, namespace: str) -> dict[str, str]:
    try:
        with helm_python.Chart.load(CHART) as chart:
            made: dict[str, str] = chart.render(dict(values), name=release, namespace=namespace)
    except helm_python.HelmError as error:
        raise Refused(str(error)) from error
    return made


def golden_file(name: str) -> Path:
    return HERE / "golden" / f"{name}.yaml"


def as_golden(objects: list[Object]) -> str:
    """Objects as the text of a golden file. What is a file of its own stands in it by its size."""
    shown = [json.loads(json.dumps(each)) for each in objects]
    for each in shown:
        if each["kind"] == "PrometheusRule":
            each["spec"] = {"groups": [group["name"] for group in each["spec"]["groups"]]}
    return yaml.safe_dump_all(shown, sort_keys=False, width=110, allow_unicode=True)
