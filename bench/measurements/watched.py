"""What does it cost to be watched? The rate with console open and metrics scraped, against that without."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bench.system import System, arrivals, consumer, free_port, publish, system

EVERY = 5.0  # seconds between two scrapes, and two loads of Overzicht
WITHOUT, UNWATCHED, WATCHED = "without", "unwatched", "watched"


@dataclass
class _Side:
    """A system with its consumer."""

    running: System
    callback: str

    def rate(self, count: int) -> tuple[float, float]:
        """(notificaties a second from the first POST to the last arrival, CPU ms of all for each 1,000)."""
        before = sum(self.running.cpu().values())
        done = publish(self.running, count=count, concurrency=64)
        arrived = arrivals(self.callback, at_least=count + 1)
        used = sum(self.running.cpu().values()) - before
        return count / ((max(arrived.values()) - done["begin"]) / 1e9), used * 1e6 / count


def watched(options: argparse.Namespace) -> None:
    """The rate in three states in turn.

    A system without console and metrics; one with both, at which nobody looks; and the same with the live
    tail open, Overzicht loaded and every process scraped every 5 s.
    """
    with contextlib.ExitStack() as opened:
        console, metrics = free_port(), _ports_in_a_row()
        told = {"NRC_CONSOLE_LISTEN": f"127.0.0.1:{console}", "NRC_METRICS_LISTEN": f"127.0.0.1:{metrics}"}
        plain = _side(opened, {})
        full = _side(opened, told)
        for side in (plain, full):
            side.rate(2000)
        rates: dict[str, list[tuple[float, float]]] = {state: [] for state in (WITHOUT, UNWATCHED, WATCHED)}
        order = [WITHOUT, UNWATCHED, WATCHED]
        for _ in range(options.pairs):
            for state in order:
                with _watching(full.running) if state == WATCHED else contextlib.nullcontext():
                    rates[state].append((plain if state == WITHOUT else full).rate(options.count))
            order = (
                order[1:] + order[:1]
            )  # what else the machine does comes and goes: none is always the first
            print("  " + ", ".join(f"{state} {rates[state][-1][0]:.0f}/s" for state in rates), flush=True)
    for state in (WITHOUT, UNWATCHED):
        ratios = [one[0] / other[0] for one, other in zip(rates[WATCHED], rates[state], strict=True)]
        cpu = [statistics.median(each[1] for each in rates[of]) for of in (WATCHED, state)]
        print(
            f"watched / {state}, {options.pairs} x {options.count}: median ratio "
            f"{statistics.median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f}); "
            f"CPU per 1,000: {cpu[0]:.0f} ms / {cpu[1]:.0f} ms"
        )


def _side(opened: contextlib.ExitStack, settings: dict[str, str]) -> _Side:
    running = opened.enter_context(system(**settings))
    callback = opened.enter_context(consumer())
    running.post("/kanaal", {"naam": "zaken"})
    running.subscribe(callback, "zaken")
    return _Side(running, callback)


def _ports_in_a_row() -> int:
    """A port that is free now, as are the two before it and the three after it, for the other processes."""
    while True:
        first = free_port()
        with contextlib.suppress(OSError), contextlib.ExitStack() as bound:
            for port in range(first - 2, first + 4):
                bound.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


@contextlib.contextmanager
def _watching(running: System) -> Iterator[None]:
    """Somebody watches as long as the context is open. Raises SystemExit when it was no watching."""
    said = running.said
    root, password = _found(r"Console +(\S+)", said), _found(r"admin, with password (\S+)", said)
    addresses = re.findall(r"(\S+:\d+)(?:,|$)", _found(r"Metrics +(.+)", said))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load.watcher", "--console", root, "--every", str(EVERY), *addresses],
        env={**os.environ, "BENCH_PASSWORD": password},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "watching\n":
        raise SystemExit("the watcher could not begin")
    try:
        yield
    finally:
        process.terminate()
        out = process.stdout.read()
        process.wait(30)
    seen = json.loads(out) if not process.returncode else {}
    if not all(seen.get(what) for what in ("rows", "pages", "scrapes")):
        raise SystemExit(f"it was not watched: {seen}")


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"nrc up did not say {pattern!r}")
    return found[1]
