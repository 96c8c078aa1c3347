"""The product under fuzzing: a router, two gateways and a deliverer as real processes, and a consumer here.

Owns their start and stop, and what their logs may hold.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nrc.rabbitmq.private_node import free_port
from store.opening import open_registry
from tests.callback_server import CallbackServer
from tests.chaos.process import Process
from tests.contract.api import APPLICATIONS
from tests.fuzz.garbage import Garbage

# What Python or a library says by itself on standard error, and a log line with an exception.
ALARMS = re.compile(
    r"Traceback|Unhandled|never retrieved|never awaited|Exception ignored|Warning: |Unclosed|\bcritical\b"
)
KNOWN_ERRORS = {"undeliverable", "request is not understood"}
"""Events that are logged as errors, and are rightly so."""


@dataclass
class System:
    """What properties work with. checking, trusting: the port of a gateway that checks callbacks, or not."""

    checking: int
    trusting: int
    callback: CallbackServer
    garbage: Garbage
    processes: list[Process]
    _read: dict[str, int] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """What stands in the logs, since the last look, that should not; and who no longer runs."""
        found = [f"{process.name} has ended" for process in self.processes if not process.alive]
        for process in self.processes:
            text = process.log.read_text(errors="backslashreplace")
            until = text.rfind("\n") + 1
            found += misplaced(process, text[self._read.get(process.name, 0) : until])
            self._read[process.name] = until
        return found


def misplaced(process: Process, text: str) -> list[str]:
    """Every line of this part of its log that tells of a fault, or that no machine can read."""
    found = []
    for line in text.rstrip("\n").split("\n") if text else ():
        if ALARMS.search(line):
            found.append(line)
        elif process.env["NRC_LOG_FORMAT"] == "json":
            try:
                told = json.loads(line)
            except ValueError:
                found.append(line)
                continue
            if told["level"] in ("error", "critical") and told["event"] not in KNOWN_ERRORS:
                found.append(line)
        elif re.search(r"\[(error|critical) *\]", line) and not any(known in line for known in KNOWN_ERRORS):
            found.append(line)
    return [f"{process.name}: {line[:500]}" for line in found]


@asynccontextmanager
async def fuzzed(url: str, folder: Path) -> AsyncIterator[System]:
    """All of it on this virtual host, ready. AssertionError at the end: a fault in a log, or a bad stop."""
    async with open_registry(folder / "registry.db") as registry:
        for application in APPLICATIONS:
            await registry.add_application(application)
    settings = {
        "NRC_AMQP_URL": url,
        "NRC_STATE_DIR": str(folder),
        "NRC_CALLBACK_ALLOW_LOOPBACK": "true",
        "NRC_CALLBACK_TIMEOUT": "3",
        "NRC_RETRY_SCHEDULE": "1",
        "NRC_JWT_EXPIRY": "86400",
        "NRC_LOG_FORMAT": "json",
        "NRC_DOCUMENTATION_LINK_CHECK": "required",
    }
    ports = free_port(), free_port()
    kinds: dict[str, tuple[str, dict[str, str]]] = {
        "router": ("router", {}),
        "checking": ("gateway", {"NRC_GATEWAY_LISTEN": f"127.0.0.1:{ports[0]}"}),
        "trusting": (
            "gateway",
            {
                "NRC_GATEWAY_LISTEN": f"127.0.0.1:{ports[1]}",
                "NRC_CALLBACK_CHECK": "off",
                "NRC_DOCUMENTATION_LINK_CHECK": "off",
                "NRC_LOG_FORMAT": "console",
            },
        ),
        "deliverer": ("deliverer", {}),
    }
    processes = [
        Process(kind, name, env=settings | more, fds=[], log=folder / f"{name}.log")
        for name, (kind, more) in kinds.items()
    ]
    try:
        for process in processes:
            await process.start()
            await process.ready()
        async with CallbackServer() as callback, Garbage.connected(url) as garbage:
            system = System(*ports, callback, garbage, processes)
            yield system
            assert not (ended := [each.name for each in processes if not each.alive]), f"ended: {ended}"
        for process in reversed(processes):
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0, process.name
    finally:
        for process in processes:
            process.signal(signal.SIGKILL)
            with suppress(AssertionError, TimeoutError):
                await process.ended()
    faults = [
        fault
        for process in processes
        for fault in misplaced(process, process.log.read_text(errors="backslashreplace"))
    ]
    assert not faults, "\n".join(faults[:20])
