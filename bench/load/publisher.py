"""A publisher: as fast as it can with so many requests at once, or at a steady rate. Prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import Counter
from itertools import count as counting

import aiohttp
import uvloop


def message(kanaal: str, number: int) -> bytes:
    return json.dumps(
        {
            "kanaal": kanaal,
            "hoofdObject": f"https://zaken.example.nl/api/v1/zaken/{number}",
            "resource": "status",
            "resourceUrl": f"https://zaken.example.nl/api/v1/statussen/{number}",
            "actie": "create",
            "aanmaakdatum": "2019-03-27T10:59:13Z",
            "kenmerken": {
                "bronorganisatie": "224557609",
                "zaaktype": "https://catalogi.example.nl/api/v1/zaaktypen/53c5c164",
                "vertrouwelijkheidaanduiding": "openbaar",
            },
        }
    ).encode()


async def run(options: argparse.Namespace) -> None:
    headers = {"Authorization": os.environ["BENCH_AUTHORIZATION"], "Content-Type": "application/json"}
    sent: dict[int, int] = {}
    statuses: Counter[int] = Counter()
    numbers = counting()

    async with aiohttp.ClientSession(
        headers=headers, connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
    ) as session:

        async def send(number: int) -> None:
            body = message(options.kanaal, number)
            sent[number] = time.time_ns()
            async with session.post(options.url + "/notificaties", data=body) as answer:
                await answer.read()
                statuses[answer.status] += 1

        async def sender() -> None:
            while (number := next(numbers)) < options.count:
                await send(number)

        await send(-1)  # one beforehand: connections and caches are warm
        del sent[-1]
        begin = time.time_ns()
        if options.rate:
            started = time.monotonic()
            tasks = []
            for number in range(options.count):
                await asyncio.sleep(started + number / options.rate - time.monotonic())
                tasks.append(asyncio.create_task(send(number)))
            await asyncio.gather(*tasks)
        else:
            await asyncio.gather(*(sender() for _ in range(options.concurrency)))
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
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
