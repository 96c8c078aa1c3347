"""A publisher: as fast as it can with so many requests at once, or at a steady rate. Prints JSON."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter

import aiohttp
import uvloop

from nrc.cli.benching.load import message, send_each


async def run(options: argparse.Namespace) -> None:
    headers = {"Authorization": os.environ["BENCH_AUTHORIZATION"], "Content-Type": "application/json"}
    if options.batch:
        headers["X-Batch-Id"] = options.batch
    sent: dict[int, int] = {}
    statuses: Counter[int] = Counter()

    async with aiohttp.ClientSession(
        headers=headers, connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
    ) as session:

        async def send(number: int) -> float:
            body = message(options.kanaal, number)
            sent[number] = time.time_ns()
            async with session.post(options.url + "/notificaties", data=body) as answer:
                await answer.read()
                statuses[answer.status] += 1
            return 0.0

        await send(-1)  # one beforehand: connections and caches are warm
        del sent[-1]
        begin = time.time_ns()
        await send_each(send, at_once=options.concurrency, count=options.count, rate=options.rate)
        end = time.time_ns()
    result = {"begin": begin, "end": end, "statuses": statuses, "sent": sent if options.rate else {}}
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--kanaal", default="zaken")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument(
        "--rate", type=float, default=0, help="notificaties per second; 0: as fast as it goes"
    )
    parser.add_argument("--batch", default="", help="the X-Batch-Id of all")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
