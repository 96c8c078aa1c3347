"""Does a dead callback slow down another abonnement? p95 of one, while messages wait for the other."""

from __future__ import annotations

import argparse
import statistics
from contextlib import ExitStack

from bench.system import System, arrivals, consumer, free_port, publish, system

WAITING = 1000
RATE = 50


def neighbour(options: argparse.Namespace) -> None:
    """A healthy abonnement's p95 while 1,000 messages wait for a dead callback, against that without."""
    kind = "hangs" if options.hanging else "refuses connections"
    with ExitStack() as opened:
        running = opened.enter_context(system())
        callback = opened.enter_context(consumer())
        dead = (
            opened.enter_context(consumer("hang")) if options.hanging else f"http://127.0.0.1:{free_port()}"
        )
        for naam in ("zaken", "other"):
            running.post("/kanaal", {"naam": naam})
        running.subscribe(callback, "zaken")
        publish(running, count=500, concurrency=4)
        arrivals(callback, at_least=501)
        ratios = []
        for pair in range(options.pairs):
            p95 = {}
            # What else the machine does comes and goes: neither is always the first.
            for waiting in (False, True) if pair % 2 == 0 else (True, False):
                if waiting:
                    abonnement = running.subscribe(dead, "other")
                    publish(running, count=WAITING - 1, concurrency=16, kanaal="other")  # and one to warm up
                p95[waiting] = _p95(running, callback, seconds=options.seconds)
                if waiting:
                    running.delete(abonnement)
            ratios.append(p95[True] / p95[False])
            print(f"  p95 without {p95[False]:.2f} ms, with {p95[True]:.2f} ms: {ratios[-1]:.2f}", flush=True)
    print(
        f"p95 at {RATE}/s with {WAITING} waiting for a callback that {kind} / without: "
        f"median of {options.pairs} pairs {statistics.median(ratios):.2f} "
        f"(min {min(ratios):.2f}, max {max(ratios):.2f})"
    )


def _p95(running: System, callback: str, *, seconds: int) -> float:
    """Milliseconds from POST to callback."""
    count = RATE * seconds
    sent = publish(running, count=count, concurrency=1, rate=RATE)["sent"]
    arrived = arrivals(callback, at_least=count + 1)
    delays: list[float] = [(arrived[number] - at) / 1e6 for number, at in sent.items()]
    return statistics.quantiles(delays, n=20)[18]
