"""How many deliveries a second, where each notificatie is for several abonnementen?"""

from __future__ import annotations

import argparse
import time

from bench.system import System, counted, counter, flood, free_port, system

POLL = 0.02  # seconds between two looks at how many arrived


def fan_out(options: argparse.Namespace) -> None:
    """From the first POST to the last arrival, for `--abonnementen` abonnementen (10 by default)."""
    each = max(options.abonnementen, 10)
    with system() as running, counter(free_port()) as callback:
        running.post("/kanaal", {"naam": "zaken"})
        for _ in range(each):
            running.subscribe(callback, "zaken")
        wanted = _publish(running, callback, 500, each)
        rates, cpu = [], running.cpu()
        for _ in range(options.runs):
            began, before = time.perf_counter(), wanted
            wanted = _publish(running, callback, options.count, each, before=before)
            rates.append((wanted - before) / (time.perf_counter() - began))
        deliveries = options.runs * options.count * each
        used = {kind: (seconds - cpu[kind]) * 1e6 / deliveries for kind, seconds in running.cpu().items()}
    told = ", ".join(f"{rate:.0f}/s" for rate in rates)
    print(f"fan-out 1 to {each}, {options.runs} x {options.count} notificaties, deliveries: {told}")
    print(
        f"CPU per 1,000 deliveries: {sum(used.values()):.0f} ms, "
        + ", ".join(f"{kind} {used[kind]:.0f}" for kind in sorted(used) if used[kind] >= 1)
    )


def _publish(running: System, callback: str, count: int, each: int, *, before: int = 0) -> int:
    """Publish so many; how many have arrived in all once each did. Raises SystemExit when one is refused."""
    if set(statuses := flood(running, count=count)) != {"201"}:
        raise SystemExit(f"not all were accepted: {statuses}")
    wanted = before + count * each
    while counted(callback) < wanted:
        time.sleep(POLL)
    return wanted
