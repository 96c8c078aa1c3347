"""What do a notificatie and each of its deliveries cost? Constants and checks of the capacity model.

CPU of each kind of process for 1,000 notificaties, less what it uses while nothing happens; bytes of the
ledger, of the log and of RabbitMQ's disk.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from urllib.request import urlopen

from bench.load.flood import request_of
from bench.system import System, counted, counter, flood, free_port, system
from nrc.cli.benching.load import message

IDLE = 10.0  # seconds of which the CPU of doing nothing is measured
POLL = 0.2  # seconds between two looks at how many arrived
WARM = 1000  # notificaties beforehand


def costs(options: argparse.Namespace) -> None:
    """For `--abonnementen` abonnementen whose callbacks answer after `--callback-ms`; `--runs` times."""
    if options.waiting:
        _waiting(options)
        return
    each = options.abonnementen
    with system() as running, counter(free_port(), options.callback_ms) as callback:
        running.post("/kanaal", {"naam": "zaken"})
        for _ in range(each):
            running.subscribe(callback, "zaken")
        wanted = _publish(running, callback, WARM * each, WARM)
        time.sleep(IDLE / 2)
        before = running.cpu()
        time.sleep(IDLE)
        idle = {kind: (used - before[kind]) / IDLE for kind, used in running.cpu().items()}
        print("idle, % of a core: " + _told({kind: share * 100 for kind, share in idle.items()}, ".1f"))
        for _ in range(options.runs):
            sizes, before, began = _sizes(running.folder), running.cpu(), time.monotonic()
            wanted = _publish(running, callback, wanted + options.count * each, options.count)
            time.sleep(3)  # outcomes are in the ledger, and its lines in the log
            took = time.monotonic() - began
            used = {
                kind: (seconds - before[kind] - idle[kind] * took) * 1e6 / options.count
                for kind, seconds in running.cpu().items()
            }
            grown = {
                name: (size - sizes[name]) / options.count for name, size in _sizes(running.folder).items()
            }
            print(
                f"1 to {each}, callbacks of {options.callback_ms:g} ms, {options.count} in {took:.0f} s; "
                f"CPU per 1,000: {sum(used.values()):.0f} ms, {_told(used, '.0f')}; "
                f"bytes each: {_told(grown, '.0f')}",
                flush=True,
            )
        asked = len(request_of(running.root, "zaken", running.authorization))
        body, got = len(message("zaken", 1)), _get(callback, "bytes") / max(1, counted(callback))
        print(f"bytes on the wire: a POST {asked}, to a callback {got:.0f}; of which {body} of the body")


def _waiting(options: argparse.Namespace) -> None:
    """What RabbitMQ uses for each notificatie that waits for a callback that refuses connections."""
    with system() as running:
        running.post("/kanaal", {"naam": "zaken"})
        running.subscribe(f"http://127.0.0.1:{free_port()}/", "zaken")
        _publish(running, "", 0, WARM)
        for _ in range(options.runs):
            sizes, memory = _sizes(running.folder), _rss(running.pids["beam"])
            _publish(running, "", 0, options.count)
            time.sleep(IDLE)
            disk = (_sizes(running.folder)["rabbitmq"] - sizes["rabbitmq"]) / options.count
            more = (_rss(running.pids["beam"]) - memory) / options.count
            print(
                f"{options.count} more that wait, with bodies of {len(message('zaken', 1))} bytes: RabbitMQ "
                f"{disk:.0f} bytes of disk and {more:.0f} of memory each",
                flush=True,
            )


def _publish(running: System, callback: str, wanted: int, count: int) -> int:
    """Publish so many, and return `wanted` once that many arrived. Raises SystemExit when one is refused."""
    if set(statuses := flood(running, count=count)) != {"201"}:
        raise SystemExit(f"not all were accepted: {statuses}")
    while wanted and counted(callback) < wanted:
        time.sleep(POLL)
    return wanted


def _get(callback: str, what: str) -> int:
    with urlopen(f"{callback}/{what}", timeout=30) as answer:
        return int(answer.read())


def _rss(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of the ledger, of the log, and of all that RabbitMQ has on disk."""
    return {
        "ledger": sum(file.stat().st_size for file in folder.glob("ledger.db*") if file.suffix != ".db-shm"),
        "log": (folder / "nrc.log").stat().st_size,
        "rabbitmq": sum(file.stat().st_size for file in (folder / "rabbitmq").rglob("*") if file.is_file()),
    }


def _told(figures: dict[str, float], form: str) -> str:
    return ", ".join(f"{name} {figures[name]:{form}}" for name in sorted(figures) if round(figures[name], 1))
