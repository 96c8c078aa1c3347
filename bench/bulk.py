"""How long does a notificatie that is no bulk take behind bulk, with the lane for bulk and without it?"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from urllib.request import Request, urlopen

from bench.system import arrivals, consumer, publish, system
from nrc.cli.benching.load import message

AFTER = 10  # notificaties that are no bulk, a second apart


def bulk(options: argparse.Namespace) -> None:
    """Publish --count as bulk, then some that are none, to a callback that takes one at a time for 20 ms."""
    for lane in ("true", "false"):
        with system(NRC_BULK_LANE=lane) as running, consumer("slow") as callback:
            running.post("/kanaal", {"naam": "zaken"})
            running.subscribe(callback, "zaken")
            publish(running, count=20, concurrency=4)
            arrivals(callback, at_least=21)
            begin = time.monotonic()
            words = ["--url", running.root, "--count", str(options.count), "--concurrency", "32"]
            done = subprocess.run(
                [sys.executable, "-m", "bench.load.publisher", *words, "--batch", "bench"],
                env={**os.environ, "BENCH_AUTHORIZATION": running.authorization},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            accepted, statuses = time.monotonic() - begin, json.loads(done.stdout)["statuses"]
            sent = {}
            for number in range(AFTER):
                sent[str(options.count + number)] = time.time_ns()
                headers = {"Authorization": running.authorization, "Content-Type": "application/json"}
                body = message("zaken", options.count + number)
                urlopen(Request(running.root + "/notificaties", body, headers), timeout=60).close()
                time.sleep(1)
            arrived = arrivals(callback, at_least=options.count + AFTER + 1, within=options.count / 10)
            took = time.monotonic() - begin
        delays = sorted((arrived[number] - at) / 1e9 for number, at in sent.items())
        print(
            f"lane {lane}: {options.count} bulk {statuses} accepted in {accepted:.0f} s, all of "
            f"{len(arrived)} delivered after {took:.0f} s; {AFTER} others: median "
            f"{delays[AFTER // 2]:.2f} s, max {delays[-1]:.2f} s",
            flush=True,
        )
