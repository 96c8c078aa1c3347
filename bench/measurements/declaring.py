"""How long it takes until an abonnement works, and all of them after a restart.

`POST /abonnement` one after the other and ten at once, and many made 100 at once. The same declared
in RabbitMQ by a bare client: the most that this machine can do. Then
all processes and RabbitMQ stopped and started.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from bench.system import System, consumer
from router.declaring.channels import Channels, bind, bind_all, declare_exchange, declare_queue
from router.topology import of_abonnement
from runtime.amqp import connect
from schemas.abonnement import Abonnement, FilterGroup
from schemas.kanaal import Kanaal, slots_for

AT_ONCE = 100
SETTLED = 12.0  # seconds after which no queue is young any more


def declaring(options: argparse.Namespace) -> None:
    """Print the figures, with `--abonnementen` of them."""
    count = max(options.abonnementen, 200)
    temporary = TemporaryDirectory(prefix="nrc-bench-", ignore_cleanup_errors=True)
    with temporary as folder, consumer() as callback:
        running = _start(Path(folder))
        try:
            running.post("/kanaal", {"naam": "zaken", "filters": ["zaaktype"]})
            made = iter(range(10**9))

            def make(_: object) -> float:
                began = time.perf_counter()
                running.subscribe(callback, "zaken", {"zaaktype": f"none-{next(made)}"})
                return (time.perf_counter() - began) * 1000

            _tell("POST /abonnement, one after the other", map(make, range(100)))
            with ThreadPoolExecutor(10) as ten:
                _tell("POST /abonnement, ten at once", ten.map(make, range(100)))
            left = count - 200
            before, began = running.cpu(), time.perf_counter()
            with ThreadPoolExecutor(AT_ONCE) as many:
                _tell(f"POST /abonnement, {AT_ONCE} at once", many.map(make, range(left)))
            rate = left / (time.perf_counter() - began)
            used = {kind: (cpu - before[kind]) * 1000 / left for kind, cpu in running.cpu().items()}
            each = ", ".join(f"{kind} {used[kind]:.1f} ms" for kind in sorted(used))
            print(f"{left} abonnementen {AT_ONCE} at once: {rate:.0f}/s; CPU each: {each}", flush=True)
            time.sleep(SETTLED)
            asyncio.run(_bare(running, count=min(left, 500)))
        finally:
            running.stop()
        for _ in range(options.runs):
            _restart(Path(folder), count=count)


def _start(folder: Path, *, again: bool = False) -> System:
    return System(folder, again=again, NRC_LOG_FORMAT="json", NRC_QUOTA_ABONNEMENTEN="100000")


async def _bare(running: System, *, count: int) -> None:
    """Declare what so many abonnementen have in RabbitMQ, without a row in the registry; then delete it."""
    kanaal = Kanaal(uuid4(), "zaken", "", ("zaaktype",), slots_for(["zaaktype"]))
    node = json.loads((running.folder / "rabbitmq" / "node.json").read_text())
    connection = await connect(
        f"amqp://{node['user']}:{node['password']}@127.0.0.1:{node['port']}", name="bench"
    )
    channels = Channels(connection)
    topologies = [
        of_abonnement(
            Abonnement(uuid4(), "", "", (FilterGroup("zaken", (("zaaktype", f"bare-{number}"),)),), "bench"),
            {"zaken": kanaal},
        )
        for number in range(count)
    ]
    methods = {
        "queues": [[declare_queue(each.queue)] for each in topologies],
        "exchanges and bindings": [
            [*bind_all(each), declare_exchange(each.marker), bind(each.marking)] for each in topologies
        ],
    }
    for what, each_of_one in methods.items():
        before, began = running.cpu()["beam"], time.perf_counter()
        await asyncio.gather(*map(channels.do, each_of_one))
        rate = count / (time.perf_counter() - began)
        cpu = (running.cpu()["beam"] - before) * 1000 / count
        print(f"RabbitMQ alone, the {what} of {count}: {rate:.0f}/s; CPU each: {cpu:.1f} ms", flush=True)
    for each in topologies:
        async with channels.one() as channel:
            await channel.queue_delete(each.queue.name)
    await connection.close()


def _restart(folder: Path, *, count: int) -> None:
    running = _start(folder, again=True)
    try:
        while _consumed(running) < count:
            time.sleep(0.2)
    finally:
        running.stop()
    lines = [json.loads(line) for line in (folder / "nrc.log").read_text().splitlines() if line[:1] == "{"]
    began = min(_at(line) for line in lines if line["event"] == "broker connected")
    consuming = [line for line in lines if line["event"] == "consuming" and line["queues"] >= count]
    ready = {line["process"]: _at(line) - began for line in lines if line["event"] == "ready"}
    told = ", ".join(f"{name} ready {ready[name]:.1f} s" for name in sorted(ready))
    after = _at(consuming[0]) - began
    print(f"restart with {count}, since the first connection: {told}; all consumed {after:.1f} s", flush=True)


def _consumed(running: System) -> int:
    queues = json.loads(running.nrc("queues", "--json"))
    return sum(1 for queue in queues if queue["consumers"] and "nrc.abonnement." in queue["name"])


def _at(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def _tell(what: str, times: Iterable[float]) -> None:
    cuts = statistics.quantiles(found := sorted(times), n=100)
    print(f"{what}: p50 {cuts[49]:.0f} ms, p95 {cuts[94]:.0f} ms, max {found[-1]:.0f} ms", flush=True)
