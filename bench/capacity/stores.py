"""What does PostgreSQL cost in place of SQLite files? Starting, making an abonnement and publishing, in turn.

Both run at once on this machine, and are asked in turn. CPU is that of our processes, of RabbitMQ and of
the PostgreSQL server, which should have nothing else to do.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg

from bench.system import System, counted, counter, flood, free_port, system

FILES, DATABASE = "SQLite", "PostgreSQL"
MADE = 50
"""Abonnementen that are made in one turn; each is removed again."""
WARM = 1000


class _Side:
    """A system on one of both, with one abonnement. url: of its database; "" for files."""

    def __init__(self, running: System, callback: str, url: str) -> None:
        self._running, self._callback, self._url = running, callback, url
        running.post("/kanaal", {"naam": "zaken"})
        running.subscribe(callback, "zaken")

    def cpu(self) -> dict[str, float]:
        """Seconds that ours, RabbitMQ and the server used."""
        used = self._running.cpu()
        beam = used.pop("beam")
        return {"ours": sum(used.values()), "RabbitMQ": beam, "server": _server_cpu(self._url)}

    def publish(self, count: int) -> None:
        """So many are accepted, and have arrived."""
        before = counted(self._callback)
        if set(statuses := flood(self._running, count=count)) != {"201"}:
            raise SystemExit(f"not all were accepted: {statuses}")
        while counted(self._callback) < before + count:
            time.sleep(0.05)

    def make(self, count: int) -> None:
        """Make so many abonnementen and remove them."""
        for _ in range(count):
            self._running.delete(self._running.subscribe(self._callback, "zaken"))


def stores(options: argparse.Namespace) -> None:
    """`--pairs` times each in turn, `--count` notificaties. `--database`: a server that nobody else uses."""
    if not options.database:
        raise SystemExit("stores: --database names the PostgreSQL server")
    with contextlib.ExitStack() as opened:
        sides, starts = {}, {}
        for name in (FILES, DATABASE):
            url = opened.enter_context(_schema(options.database)) if name == DATABASE else ""
            began = time.monotonic()
            running = opened.enter_context(system(**({"NRC_DATABASE_URL": url} if url else {})))
            starts[name] = time.monotonic() - began, running.cpu()
            callback = opened.enter_context(counter(free_port()))
            sides[name] = _Side(running, callback, url)
            sides[name].publish(WARM)
        for name, (took, used) in starts.items():
            ours = sum(seconds for kind, seconds in used.items() if kind != "beam")
            print(f"first start on {name}: {took:.1f} s, CPU of ours {ours:.1f} s", flush=True)
        _in_turn("abonnement made and removed", sides, options.pairs, MADE, _Side.make)
        _in_turn("notificatie accepted and delivered", sides, options.pairs, options.count, _Side.publish)


def _in_turn(
    what: str, sides: dict[str, _Side], pairs: int, count: int, work: Callable[[_Side, int], None]
) -> None:
    walls: dict[str, list[float]] = {name: [] for name in sides}
    cpus: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(pairs):
        for name in order:
            before, began = sides[name].cpu(), time.monotonic()
            work(sides[name], count)
            walls[name].append((time.monotonic() - began) / count)
            after = sides[name].cpu()
            cpus[name].append({kind: (after[kind] - before[kind]) / count for kind in after})
        order.reverse()  # what else the machine does comes and goes
    for name in sides:
        used = {kind: statistics.median(each[kind] for each in cpus[name]) * 1e3 for kind in cpus[name][0]}
        told = ", ".join(f"{kind} {ms:.2f}" for kind, ms in used.items())
        print(f"{what}, {name}: {statistics.median(walls[name]) * 1e3:.2f} ms each; CPU in ms: {told}")
    walls_of = zip(walls[DATABASE], walls[FILES], strict=True)
    wall = statistics.median(one / other for one, other in walls_of)
    cpu = statistics.median(
        sum(one.values()) / sum(other.values())
        for one, other in zip(cpus[DATABASE], cpus[FILES], strict=True)
    )
    print(f"  {DATABASE} / {FILES}, {pairs} x {count}: wall {wall:.2f}, all CPU {cpu:.2f}", flush=True)


@contextlib.contextmanager
def _schema(url: str) -> Iterator[str]:
    name = f"bench_{uuid4().hex[:12]}"
    try:
        yield f"{url}{'&' if '?' in url else '?'}schema={name}"
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())


def _server_cpu(url: str) -> float:
    """Seconds of CPU that the processes of a server on this machine used, but for this connection's."""
    if not url:
        return 0.0
    with psycopg.connect(url.partition("schema=")[0].rstrip("?&"), autocommit=True) as connection:
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE pid != pg_backend_pid()")
        pids = [pid for (pid,) in found]
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
