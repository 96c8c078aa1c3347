"""`python -m bench [latency] [throughput] [filters]`: the three figures that the README quotes."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

from bench.system import System, arrivals, consumer, publish, system

ZAKEN = {"naam": "zaken", "filters": ["bronorganisatie", "zaaktype", "vertrouwelijkheidaanduiding"]}
MATCHING = {"bronorganisatie": "224557609"}


def _subscribe(running: System, callback: str, *groups: dict[str, str]) -> None:
    kanalen = [{"naam": "zaken", "filters": group} for group in groups]
    running.post("/abonnement", {"callbackUrl": callback, "auth": "Token bench", "kanalen": kanalen})


def latency(options: argparse.Namespace) -> None:
    """From the start of the POST to the arrival at the callback, at a steady 50 notificaties/s."""
    with system() as running, consumer() as callback:
        running.post("/kanaal", ZAKEN)
        _subscribe(running, callback, MATCHING)
        publish(running, count=500, concurrency=4)
        arrivals(callback, at_least=501)
        count = 50 * options.seconds
        sent = publish(running, count=count, concurrency=1, rate=50)["sent"]
        arrived = arrivals(callback, at_least=count + 1)
    delays = sorted((arrived[number] - at) / 1e6 for number, at in sent.items())
    cuts = statistics.quantiles(delays, n=100)
    print(
        f"latency at 50/s, {count} notificaties: p50 {cuts[49]:.2f} ms, p95 {cuts[94]:.2f} ms, "
        f"p99 {cuts[98]:.2f} ms, max {delays[-1]:.2f} ms"
    )


def throughput(options: argparse.Namespace) -> None:
    """From the first POST to the last arrival, one matching abonnement, all processes on this machine."""
    with system() as running, consumer() as callback:
        running.post("/kanaal", ZAKEN)
        _subscribe(running, callback, MATCHING)
        publish(running, count=2000, concurrency=64)
        arrivals(callback, at_least=2001)
        rates, accepted = [], []
        for _ in range(options.runs):
            done = publish(running, count=options.count, concurrency=64)
            arrived = arrivals(callback, at_least=options.count + 1)
            rates.append(options.count / ((max(arrived.values()) - done["begin"]) / 1e9))
            accepted.append(options.count / ((done["end"] - done["begin"]) / 1e9))
    print(
        f"throughput end to end, {options.runs} x {options.count}: median {statistics.median(rates):.0f}/s "
        f"(min {min(rates):.0f}, max {max(rates):.0f}); accepted {statistics.median(accepted):.0f}/s"
    )


def filters(options: argparse.Namespace) -> None:
    """The rate of publishing with many distinct filters on the kanaal, as a ratio of that with one."""
    with system() as one, system() as many, consumer() as callback:
        for running in (one, many):
            running.post("/kanaal", ZAKEN)
            _subscribe(running, callback, {"bronorganisatie": "none"})
        groups = [{"zaaktype": f"https://catalogi.example.nl/{n}"} for n in range(options.filters)]
        for start in range(0, len(groups), 100):
            _subscribe(many, callback, *groups[start : start + 100])
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


BENCHMARKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "latency": latency,
    "throughput": throughput,
    "filters": filters,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("which", nargs="*", choices=[*BENCHMARKS, []], help="default: all")
    parser.add_argument("--count", type=int, default=10_000, help="notificaties a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20, help="of the latency benchmark")
    parser.add_argument("--filters", type=int, default=5000)
    options = parser.parse_args()
    for name in options.which or BENCHMARKS:
        BENCHMARKS[name](options)


if __name__ == "__main__":
    main()
