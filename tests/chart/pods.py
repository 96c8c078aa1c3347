"""Runs a container of a rendered pod as a process here: its arguments, exactly its environment, its volumes.

Its root cannot be written, as its securityContext says: in a mount namespace of its own / is read-only, and
at the mount paths of its emptyDirs are folders of the test. It has no capabilities.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path
from typing import Any

from tests.chart.helm import ROOT, Object
from tests.chart.image import entrypoint, image_environment
from tests.e2e.running import Running, running

Secrets = Mapping[tuple[str, str], str]
"""What stands in Secrets, by (name, key)."""

_ALONE = ("unshare", "--mount", "--propagation", "private")
_ALONE_AS_USER = ("unshare", "--user", "--map-root-user", *_ALONE[1:])


@cache
def namespaces() -> tuple[str, ...]:
    """The command that gives a process mounts of its own, or () where that is not allowed."""
    for command in (_ALONE, _ALONE_AS_USER):
        try:
            subprocess.run(
                [*command, "sh", "-c", "mount -o remount,bind,ro / && mount -t tmpfs tmpfs /var/lib"],
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return command
    return ()


def environment_of(container: Object, secrets: Secrets) -> dict[str, str]:
    """The variables of a container as Kubernetes gives them, on top of those of the image."""
    found = image_environment()
    for variable in container["env"]:
        if "valueFrom" in variable:
            wanted = variable["valueFrom"]["secretKeyRef"]
            found[variable["name"]] = secrets[wanted["name"], wanted["key"]]
        else:
            found[variable["name"]] = re.sub(
                r"\$\((\w+)\)", lambda match: found.get(match[1], match[0]), variable.get("value", "")
            )
    # Of this machine, in place of the image's: where the interpreter and our packages are.
    return found | {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


class Pod:
    """The container of a pod and the folders that are its volumes. shared: folders in place of emptyDirs."""

    def __init__(
        self, template: Object, folder: Path, *, secrets: Secrets, shared: Mapping[str, Path] | None = None
    ) -> None:
        pod: Any = template["spec"]
        (self.container,) = pod["containers"]
        self.name: str = self.container["name"]
        self.env = environment_of(self.container, secrets)
        self.grace: int = pod.get("terminationGracePeriodSeconds", 30)
        self._mounts: dict[str, Path] = {}
        for mount in self.container["volumeMounts"]:
            at = (shared or {}).get(mount["name"]) or folder / self.name / mount["name"]
            at.mkdir(parents=True, exist_ok=True)
            self._mounts[mount["mountPath"]] = at

    def start(self) -> AbstractAsyncContextManager[Running]:
        """The container's own command."""
        assert entrypoint() == ["nrc"]
        return self.run(sys.executable, "-P", "-m", "nrc", *self.container["args"])

    def exec(self, *arguments: str) -> AbstractAsyncContextManager[Running]:
        """`kubectl exec … -- nrc …`."""
        return self.run(sys.executable, "-P", "-m", "nrc", *arguments)

    def run(self, *command: str) -> AbstractAsyncContextManager[Running]:
        """Any command in the container; it is the process itself, so that signals reach it."""
        return running(*namespaces(), "sh", "-c", self._script(command), env=self.env)

    def url_of(self, probe: str) -> str:
        """Where a probe asks."""
        asked = self.container[probe]["httpGet"]
        return f"http://127.0.0.1:{self.port(asked['port'])}{asked['path']}"

    def port(self, name: str) -> int:
        (found,) = (port["containerPort"] for port in self.container["ports"] if port["name"] == name)
        number: int = found
        return number

    def _script(self, command: Sequence[str]) -> str:
        quote = shlex.quote
        # A tmpfs over /var/lib, in which a folder for the state can be made, whatever is there.
        lines = ["set -e", "mount -t tmpfs tmpfs /var/lib", "mkdir -p /var/lib/nrc"]
        lines += [f"mkdir -p {quote(path)}" for path in self._mounts if path.startswith("/var/lib/")]
        # What is in /tmp itself must be mounted before that is hidden.
        for path, folder in sorted(self._mounts.items(), key=lambda each: each[0] == "/tmp"):
            # These sources and the interpreter stay there, where they are in a folder that a volume hides.
            for kept in {ROOT, Path(sys.prefix), Path(sys.base_prefix)}:
                if kept.is_relative_to(path):
                    within = quote(str(folder / kept.relative_to(path)))
                    lines += [f"mkdir -p {within}", f"mount --bind {quote(str(kept))} {within}"]
            lines.append(f"mount --rbind {quote(str(folder))} {quote(path)}")
        lines += ["mount -o remount,bind,ro /var/lib", "mount -o remount,bind,ro /", "cd /var/lib/nrc"]
        without = "setpriv --bounding-set=-all --inh-caps=-all --no-new-privs"
        return "\n".join([*lines, f"exec {without} {shlex.join(command)}"])
