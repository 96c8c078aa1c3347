"""How much memory do bodies take in a deliverer when no callback answers? Its RSS, with many abonnementen."""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError

from bench.load.publisher import message
from bench.measurements.memory import resident
from bench.system import System, consumer, system

AT_ONCE = 16  # abonnementen made
SENT_AT_ONCE = 4  # notificaties, each of which RabbitMQ writes to every queue
WAIT = 25.0  # seconds in which bodies come in, and their attempts time out


def bodies(options: argparse.Namespace) -> None:
    """RSS of a deliverer with so many large bodies for each of so many abonnementen whose callback hangs."""
    with system(NRC_DELIVERER_MEMORY=str(options.budget)) as running, consumer("hang") as callback:
        running.post("/kanaal", {"naam": "zaken"})
        with ThreadPoolExecutor(AT_ONCE) as at_once:
            list(at_once.map(lambda _: running.subscribe(callback, "zaken"), range(options.abonnementen)))
        pid = running.pids["deliverer"]
        before = most = resident(pid)
        with ThreadPoolExecutor(SENT_AT_ONCE) as at_once:
            sending = [at_once.submit(_publish, running, options.size) for _ in range(options.each)]
            deadline = 0.0
            while not deadline or time.monotonic() < deadline:
                time.sleep(0.1)
                most = max(most, resident(pid))
                if not deadline and all(each.done() for each in sending):
                    deadline = time.monotonic() + WAIT
            for each in sending:
                each.result()
        narrowed = (running.folder / "nrc.log").read_text().count("taking fewer messages at once")
    print(
        f"deliverer, {options.abonnementen} abonnementen x {options.each} bodies of {options.size} bytes, "
        f"callback hangs, budget {options.budget >> 20} MiB: "
        f"RSS {before / 1024:.0f} MB before, {most / 1024:.0f} MB at most "
        f"({(most - before) / 1024:+.0f} MB); {narrowed} lines about memory"
    )


def _publish(running: System, size: int) -> None:
    notificatie = {**json.loads(message("zaken", 1)), "extra": "x" * size}
    while True:
        try:
            running.post("/notificaties", notificatie)
        except HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(1.0)
        else:
            return
