"""Somebody who watches: the console in a browser, and a Prometheus. Prints `watching`, at the end JSON.

The live tail of Notificaties is open (server-sent events); Overzicht is loaded again, and every address of
metrics scraped, every so many seconds. Ends by SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

import aiohttp
import uvloop


async def run(options: argparse.Namespace) -> None:
    stop, seen = asyncio.Event(), Counter[str]()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    headers = {"Origin": options.console.removesuffix("/console/")}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), headers=headers) as session:
        form = {"naam": "admin", "wachtwoord": os.environ["BENCH_PASSWORD"]}
        async with session.post(f"{options.console}inloggen/", data=form) as answer:
            assert answer.status == 200, answer.status
        opened = asyncio.Event()
        tasks = [
            asyncio.create_task(_follow(session, options.console, seen, opened)),
            asyncio.create_task(_every(options.every, lambda: _load(session, options.console, seen))),
            asyncio.create_task(_every(options.every, lambda: _scrape(session, options.metrics, seen))),
        ]
        stopping = asyncio.create_task(stop.wait())
        await opened.wait()
        print("watching", flush=True)
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in done - {stopping}:
            task.result()
    print(json.dumps(seen))


async def _follow(
    session: aiohttp.ClientSession, console: str, seen: Counter[str], opened: asyncio.Event
) -> None:
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(f"{console}notificaties/?als=stroom", timeout=timeout) as stream:
        assert stream.content_type == "text/event-stream", stream.status
        opened.set()
        async for line in stream.content:
            if line.startswith(b"event: row"):
                seen["rows"] += 1
    raise RuntimeError("the live tail ended")


async def _load(session: aiohttp.ClientSession, console: str, seen: Counter[str]) -> None:
    async with session.get(console) as page:
        assert page.status == 200, page.status
        assert "Het laatste uur" in await page.text()
    seen["pages"] += 1


async def _scrape(session: aiohttp.ClientSession, addresses: list[str], seen: Counter[str]) -> None:
    for address in addresses:
        async with session.get(f"http://{address}/metrics") as answer:
            assert answer.status == 200, address
            await answer.read()
        seen["scrapes"] += 1


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await work()
        await asyncio.sleep(seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--console", required=True)
    parser.add_argument("--every", type=float, required=True, help="seconds")
    parser.add_argument("metrics", nargs="+", help="host:port of each process")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
