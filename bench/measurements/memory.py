"""Does memory stay flat? A backlog for a dead callback, its drain, then many delivered; RSS every second."""

from __future__ import annotations

import argparse
import csv
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.plot import drawing
from bench.system import System, counted, counter, flood, free_port, system

CHUNK = 20_000  # notificaties between two looks at how far the deliveries are
SETTLE = 10.0  # seconds before the first sample that counts, and after the last message


@dataclass
class Samples:
    """A row every second: seconds, phase, delivered, and the RSS of each process in kB."""

    pids: dict[str, int]
    rows: list[tuple[float, str, int, dict[str, int]]] = field(default_factory=list)
    phase: str = "start"
    callback: str = ""

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        delivered = 0
        while not self._done.wait(1.0):
            if self.callback:
                with suppress(OSError):
                    delivered = counted(self.callback)
            rss = {name: resident(pid) for name, pid in self.pids.items()}
            self.rows.append((time.monotonic() - self._began, self.phase, delivered, rss))

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def of(self, name: str, *phases: str) -> list[tuple[int, int]]:
        """(delivered, kB) of one process in these phases."""
        return [(delivered, rss[name]) for _, phase, delivered, rss in self.rows if phase in phases]

    def write(self, file: Path) -> None:
        with file.open("w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(["seconds", "phase", "delivered", *(f"{name}_kb" for name in self.pids)])
            for seconds, phase, delivered, rss in self.rows:
                writer.writerow([f"{seconds:.1f}", phase, delivered, *rss.values()])


def resident(pid: int) -> int:
    """The RSS of a process in kB; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def slope(points: Sequence[tuple[int, int]]) -> float:
    """kB for each 100,000 delivered: the line through the points with the least squares."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope * 100_000


def memory(options: argparse.Namespace) -> None:
    """RSS of every process: `--backlog` wait for a dead callback, and `--count` are delivered in all."""
    options.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + options.minutes * 60
    port = free_port()
    with ExitStack() as opened:
        running = opened.enter_context(system(NRC_RETRY_SCHEDULE="5,25,100,400,1600,6400"))
        samples = Samples(running.pids)
        opened.callback(samples.stop)
        running.post("/kanaal", {"naam": "zaken"})
        abonnement = running.subscribe(f"http://127.0.0.1:{port}", "zaken")
        time.sleep(SETTLE)

        samples.phase = "backlog"
        accepted = _publish(running, options.backlog, deadline)
        time.sleep(SETTLE)

        samples.phase = "drain"
        callback = opened.enter_context(counter(port))
        samples.callback = callback
        running.nrc("abonnement", "probe", abonnement.rpartition("/")[2])
        _until_delivered(callback, accepted, deadline)
        samples.phase = "drained"
        time.sleep(SETTLE)

        each = options.abonnementen
        for _ in range(each - 1):
            running.subscribe(callback, "zaken")
        samples.phase = "deliver"
        wanted = accepted
        while wanted < options.count and time.monotonic() < deadline:
            more = _publish(running, min(CHUNK, (options.count - wanted) // each or 1), deadline)
            accepted, wanted = accepted + more, wanted + more * each
            _until_delivered(callback, wanted - CHUNK, deadline)
        _until_delivered(callback, wanted, deadline)
        samples.phase = "end"
        time.sleep(SETTLE)
        samples.stop()
        delivered = counted(callback)
    samples.write(options.out / "memory.csv")
    (options.out / "memory.svg").write_text(
        drawing([(seconds, phase, rss) for seconds, phase, _, rss in samples.rows])
    )
    print(f"{wanted - delivered} of what was accepted not delivered yet")
    _tell(samples, accepted=accepted, delivered=delivered)


def _publish(running: System, count: int, deadline: float) -> int:
    """Publish so many, less when the time is over; how many were accepted."""
    accepted = 0
    while accepted < count and time.monotonic() < deadline:
        running.fresh_token()
        statuses = flood(running, count=min(CHUNK, count - accepted))
        if set(statuses) != {"201"}:
            print(f"  not all were accepted: {statuses}", flush=True)
        accepted += statuses.get("201", 0)
    return accepted


def _until_delivered(callback: str, count: int, deadline: float) -> None:
    while counted(callback) < count and time.monotonic() < deadline:
        time.sleep(0.5)


def _tell(samples: Samples, *, accepted: int, delivered: int) -> None:
    took = samples.rows[-1][0]
    print(f"memory, {accepted} accepted and {delivered} delivered in {took:.0f} s; RSS in MB:")
    print("  process      start  backlog  drained | delivering: first tenth  last tenth  per 100,000")
    for name in samples.pids:
        at = {
            phase: _median([kb for _, kb in samples.of(name, phase)][-5:])
            for phase in ("start", "backlog", "drained")
        }
        points = samples.of(name, "deliver")
        tenth = max(len(points) // 10, 1)
        first, last = (_median([kb for _, kb in part]) for part in (points[:tenth], points[-tenth:]))
        print(
            f"  {name:<10} {at['start']:7.1f}  {at['backlog']:7.1f}  {at['drained']:7.1f} | "
            f"{first:23.1f}  {last:10.1f}  {slope(points) / 1024:+11.2f}"
        )


def _median(values: Sequence[int]) -> float:
    return statistics.median(values) / 1024 if values else 0.0
