"""What many abonnementen cost: with `--abonnementen` of them, one filter and a callbackUrl of its own each.

Making them 100 at once, one more, the memory of each process, publishing against one abonnement, and how long
all queues are without a deliverer after a restart of our processes and after one of RabbitMQ.

Where others use the machine too only the ratios and the CPU times can be compared with another run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from itertools import count as counting
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from bench.load.publisher import message
from bench.measurements.memory import resident
from bench.system import System, counter, flood, free_port

AT_ONCE = 100
FIRST = 50  # made beforehand: the first of a process are slower
ONE_BY_ONE = 30
SETTLED = 12.0  # seconds after which no queue is young any more
WITHIN = 900.0  # seconds until all are consumed
MATCHING = json.loads(message("zaken", 1))["kenmerken"]["zaaktype"]
SETTINGS = {"NRC_LOG_FORMAT": "json", "NRC_QUOTA_ABONNEMENTEN": "100000"}


def scale(options: argparse.Namespace) -> None:
    """Print the figures; `--count` notificaties are published to each of two systems, `--runs` times."""
    count = max(options.abonnementen, FIRST + ONE_BY_ONE + AT_ONCE)
    with ExitStack() as opened:
        folder, other = (
            Path(opened.enter_context(TemporaryDirectory(prefix="nrc-bench-", ignore_cleanup_errors=True)))
            for _ in range(2)
        )
        callback = opened.enter_context(counter(free_port()))
        running = System(folder, **SETTINGS)
        try:
            running.post("/kanaal", {"naam": "zaken", "filters": ["zaaktype"]})
            asyncio.run(_make_all(running, callback, count))
            time.sleep(SETTLED)
            print(f"memory with {count}: {_memory(running)}", flush=True)
            one = System(other, **SETTINGS)
            try:
                one.post("/kanaal", {"naam": "zaken", "filters": ["zaaktype"]})
                one.subscribe(callback, "zaken", {"zaaktype": MATCHING})
                _publish(one, running, options)
            finally:
                one.stop()
            for _ in range(options.runs):
                running = _restart_ours(running, count)
            _restart_rabbitmq(running, count)
            print(f"memory after the restarts: {_memory(running)}", flush=True)
        finally:
            running.stop()


async def _make_all(running: System, callback: str, count: int) -> None:
    """One of them matches what is published."""
    numbers = counting()
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    headers = {"Authorization": running.authorization}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def make() -> float:
            number = next(numbers)
            body = {
                "callbackUrl": f"{callback}/{number}",
                "auth": "Token bench",
                "kanalen": [
                    {"naam": "zaken", "filters": {"zaaktype": f"none-{number}" if number else MATCHING}}
                ],
            }
            while True:
                began = time.perf_counter()
                async with session.post(running.root + "/abonnement", json=body) as answer:
                    text = await answer.text()
                if answer.status == 201:
                    return (time.perf_counter() - began) * 1000
                if answer.status != 503:
                    raise SystemExit(text)
                await asyncio.sleep(0.5)  # a machine that is busy with other things

        left = count - FIRST - ONE_BY_ONE
        slots = asyncio.Semaphore(AT_ONCE)

        async def one_of_many() -> float:
            async with slots:
                return await make()

        await asyncio.gather(*(one_of_many() for _ in range(FIRST)))
        before, began = running.cpu(), time.perf_counter()
        times = await asyncio.gather(*(one_of_many() for _ in range(left)))
        took = time.perf_counter() - began
        each = _told(_used(before, running.cpu()), left)
        print(
            f"{left} made {AT_ONCE} at once: {left / took:.0f}/s, median {statistics.median(times):.0f} ms; "
            f"CPU each: {each}; {_load()}",
            flush=True,
        )
        single = sorted([await make() for _ in range(ONE_BY_ONE)])
        print(f"POST of one with {count}: p50 {single[ONE_BY_ONE // 2]:.0f} ms, max {single[-1]:.0f} ms")


def _publish(one: System, many: System, options: argparse.Namespace) -> None:
    """Publish to both in turn, to one matching abonnement each."""
    rates: list[float] = []
    cpus: list[float] = []
    for number in range(options.runs + 1):
        pair = []
        for running in (one, many):
            running.fresh_token()
            before, began = running.cpu(), time.perf_counter()
            if set(statuses := flood(running, count=options.count)) != {"201"}:
                raise SystemExit(f"not all were accepted: {statuses}")
            rate = options.count / (time.perf_counter() - began)
            pair.append((rate, _used(before, running.cpu())))
        if not number:
            continue  # connections and caches are warm now
        rates.append(pair[1][0] / pair[0][0])
        cpus.append(sum(pair[0][1].values()) / sum(pair[1][1].values()))
        for rate, used in pair:
            print(f"  publishing: {rate:.0f}/s, CPU each: {_told(used, options.count)}", flush=True)
    print(
        f"publishing with many / with one: rate {statistics.median(rates):.2f}, "
        f"by CPU {statistics.median(cpus):.2f} (medians of {options.runs})",
        flush=True,
    )


def _restart_ours(running: System, count: int) -> System:
    """Kill `nrc up`, after which its processes stop and RabbitMQ stays; start it again."""
    running.kill()
    began = time.time()
    beam = running.cpu_of_rabbitmq()
    running = System(running.folder, again=True, **SETTINGS)
    consumed = _all_consumed(running, count, since=began)
    used = running.cpu() | {"beam": running.cpu_of_rabbitmq() - beam}
    print(
        f"restart of our processes with {count}: all consumed after {consumed - began:.1f} s, "
        f"{_since(running, began)}; CPU until then: {_told(used)}; {_load()}",
        flush=True,
    )
    return running


def _restart_rabbitmq(running: System, count: int) -> None:
    """Stop RabbitMQ; `nrc up` starts it again."""
    began, before = time.time(), {**running.cpu(), "beam": 0.0}
    os.kill(running.pids["beam"], signal.SIGTERM)
    consumed = _all_consumed(running, count, since=began)
    connected = min(_times(running, "broker connected", since=began))
    used = _used(before, running.cpu())
    print(
        f"restart of RabbitMQ with {count}: {connected - began:.1f} s until the first connection, "
        f"all consumed {consumed - connected:.1f} s after that; CPU until then: {_told(used)}; "
        f"{_load()}",
        flush=True,
    )


def _all_consumed(running: System, count: int, *, since: float) -> float:
    """When (seconds since the epoch) a deliverer consumed all queues."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        for line in _lines(running, since=since):
            if line["event"] == "consuming" and line["queues"] >= count:
                return _at(line)
        time.sleep(0.1)
    raise SystemExit(f"not all were consumed within {WITHIN:.0f} s")


def _since(running: System, began: float) -> str:
    ready = {
        line["process"]: _at(line) - began
        for line in _lines(running, since=began)
        if line["event"] == "ready"
    }
    return ", ".join(f"{name} ready {ready[name]:.1f} s" for name in sorted(ready))


def _times(running: System, event: str, *, since: float) -> list[float]:
    return [_at(line) for line in _lines(running, since=since) if line["event"] == event]


def _lines(running: System, *, since: float) -> list[dict[str, Any]]:
    text = (running.folder / "nrc.log").read_text()
    lines = [json.loads(line) for line in text.splitlines() if line[:1] == "{" and line[-1:] == "}"]
    return [line for line in lines if _at(line) >= since]


def _at(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def _memory(running: System) -> str:
    pids = running.pids
    return ", ".join(f"{name} {resident(pids[name]) / 1024:.0f} MB" for name in sorted(pids))


def _used(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {kind: seconds - before.get(kind, 0.0) for kind, seconds in after.items()}


def _told(used: Mapping[str, float], count: int = 0) -> str:
    """In milliseconds for each of `count`, or in seconds."""
    factor, unit = (1000 / count, "ms") if count else (1.0, "s")
    parts = [f"{kind} {used[kind] * factor:.2f}" for kind in sorted(used) if used[kind] * factor >= 0.05]
    return f"{sum(used.values()) * factor:.2f} {unit} ({', '.join(parts)})"


def _load() -> str:
    return f"load {os.getloadavg()[0]:.0f}"
