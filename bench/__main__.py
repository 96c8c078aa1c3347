"""`python -m bench [latency] [throughput] [filters] …`: figures of the documents.

Without a name: those three, which the README quotes. Others: neighbour, memory, bodies, bulk, refused,
matching, lag, ledger, declaring, fan-out, scale, watched, costs, stores; capacity prints what a
system needs.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from bench.bulk import bulk
from bench.capacity.command import add_options, capacity
from bench.capacity.costs import costs
from bench.capacity.stores import stores
from bench.measurements.bodies import bodies
from bench.measurements.declaring import declaring
from bench.measurements.fan_out import fan_out
from bench.measurements.lag import lag
from bench.measurements.ledger import ledger
from bench.measurements.matching import matching
from bench.measurements.memory import memory
from bench.measurements.noisy_neighbour import neighbour
from bench.measurements.refused_bodies import refused
from bench.measurements.scale import scale
from bench.measurements.watched import watched
from bench.system import arrivals, consumer, publish, system

ZAKEN = {"naam": "zaken", "filters": ["bronorganisatie", "zaaktype", "vertrouwelijkheidaanduiding"]}
MATCHING = {"bronorganisatie": "224557609"}


def latency(options: argparse.Namespace) -> None:
    """From the start of the POST to the arrival at the callback, at a steady 50 notificaties/s."""
    with system() as running, consumer() as callback:
        running.post("/kanaal", ZAKEN)
        running.subscribe(callback, "zaken", MATCHING)
        publish(running, count=500, concurrency=4)
        arrivals(callback, at_least=501)
        count = 50 * options.seconds
        sent = publish(running, count=count, concurrency=64, rate=50)["sent"]
        arrived = arrivals(callback, at_least=count + 1)
    delays = sorted((arrived[number] - at) / 1e6 for number, at in sent.items())
    cuts = statistics.quantiles(delays, n=100)
    print(
        f"latency at 50/s, {count} notificaties: p50 {cuts[49]:.2f} ms, p95 {cuts[94]:.2f} ms, "
        f"p99 {cuts[98]:.2f} ms, max {delays[-1]:.2f} ms"
    )


def throughput(options: argparse.Namespace) -> None:
    """From the first POST to the last arrival, one matching abonnement, all processes on this machine.

    And the CPU that each process used, which says more where others use the machine too.
    """
    with system() as running, consumer() as callback:
        running.post("/kanaal", ZAKEN)
        url = running.subscribe(callback, "zaken", MATCHING)
        if options.ordered:
            running.nrc("abonnement", "options", url, "--set", "order={}")
        publish(running, count=2000, concurrency=64)
        arrivals(callback, at_least=2001)
        rates, accepted = [], []
        before = running.cpu()
        for _ in range(options.runs):
            done = publish(running, count=options.count, concurrency=64)
            arrived = arrivals(callback, at_least=options.count + 1)
            rates.append(options.count / ((max(arrived.values()) - done["begin"]) / 1e9))
            accepted.append(options.count / ((done["end"] - done["begin"]) / 1e9))
        per_1000 = 1e6 / (options.runs * options.count)  # from seconds in all to milliseconds each 1,000
        used = {kind: (seconds - before[kind]) * per_1000 for kind, seconds in running.cpu().items()}
    print(
        f"throughput end to end, {options.runs} x {options.count}: median {statistics.median(rates):.0f}/s "
        f"(min {min(rates):.0f}, max {max(rates):.0f}); accepted {statistics.median(accepted):.0f}/s"
    )
    print("CPU per 1,000: " + ", ".join(f"{kind} {used[kind]:.0f} ms" for kind in sorted(used)))


def filters(options: argparse.Namespace) -> None:
    """The rate of publishing with many distinct filters on the kanaal, as a ratio of that with one."""
    with system() as one, system() as many, consumer() as callback:
        for running in (one, many):
            running.post("/kanaal", ZAKEN)
            running.subscribe(callback, "zaken", {"bronorganisatie": "none"})
        groups = [{"zaaktype": f"https://catalogi.example.nl/{n}"} for n in range(options.filters)]
        for start in range(0, len(groups), 100):
            many.subscribe(callback, "zaken", *groups[start : start + 100])
        ratios = []
        for _ in range(options.runs):
            rates = []
            for running in (one, many):
                done = publish(running, count=options.count, concurrency=64)
                rates.append(options.count / ((done["end"] - done["begin"]) / 1e9))
            ratios.append(rates[1] / rates[0])
            print(f"  publishing: 1 filter {rates[0]:.0f}/s, {options.filters} filters {rates[1]:.0f}/s")
    print(
        f"publishing with {options.filters} distinct filters / with one: median ratio "
        f"{statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})"
    )


QUOTED: dict[str, Callable[[argparse.Namespace], None]] = {
    "latency": latency,
    "throughput": throughput,
    "filters": filters,
}
BENCHMARKS = {
    **QUOTED,
    "neighbour": neighbour,
    "memory": memory,
    "bodies": bodies,
    "bulk": bulk,
    "refused": refused,
    "ledger": ledger,
    "matching": matching,
    "lag": lag,
    "declaring": declaring,
    "fan-out": fan_out,
    "scale": scale,
    "watched": watched,
    "costs": costs,
    "stores": stores,
    "capacity": capacity,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("which", nargs="*", choices=[*BENCHMARKS, []], help="default: those of the README")
    parser.add_argument("--count", type=int, default=10_000, help="notificaties a run; memory: in all")
    parser.add_argument("--database", default="", help="ledger, stores: a URL of PostgreSQL's")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20, help="of the latency benchmark")
    parser.add_argument("--ordered", action="store_true", help="throughput: in order per hoofdObject")
    parser.add_argument("--filters", type=int, default=5000)
    parser.add_argument("--hanging", action="store_true", help="neighbour: a callback that hangs")
    parser.add_argument("--pairs", type=int, default=5, help="neighbour, watched, stores: in turn")
    parser.add_argument("--backlog", type=int, default=100_000, help="memory: messages that wait")
    parser.add_argument(
        "--abonnementen",
        type=int,
        default=1,
        help="memory, bodies, fan-out, costs: to which each is delivered; scale, capacity: how many",
    )
    parser.add_argument("--callback-ms", type=float, default=0, help="costs: until a callback answers")
    parser.add_argument(
        "--waiting", action="store_true", help="costs: of what waits for a callback that is down"
    )
    parser.add_argument("--each", type=int, default=15, help="bodies: for each abonnement")
    parser.add_argument("--size", type=int, default=200_000, help="bodies: bytes of each")
    parser.add_argument("--budget", type=int, default=256 * 1024**2, help="bodies: NRC_DELIVERER_MEMORY")
    parser.add_argument("--connections", type=int, default=1000, help="refused: that send at once")
    parser.add_argument("--minutes", type=float, default=40, help="memory: it ends then, whatever is left")
    parser.add_argument("--out", type=Path, default=Path("var"), help="memory: folder for its CSV and plot")
    add_options(parser)
    options = parser.parse_args()
    # What was started is stopped then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for name in options.which or QUOTED:
        BENCHMARKS[name](options)


if __name__ == "__main__":
    main()
