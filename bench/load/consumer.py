"""A callback. Run as `python -m bench.load.consumer PORT [note|slow|hang]`.

note: when each notificatie first arrived. slow: the same, one at a time, each for 20 ms. hang: it never
answers.
"""

from __future__ import annotations

import asyncio
import sys
import time

import orjson
import uvloop
from aiohttp import web

ARRIVED: dict[str, int] = {}
ONE = asyncio.Semaphore(1)


async def note(request: web.Request) -> web.Response:
    number = orjson.loads(await request.read())["hoofdObject"].rpartition("/")[2]
    ARRIVED.setdefault(number, time.time_ns())
    return web.Response(status=204)


async def slow(request: web.Request) -> web.Response:
    async with ONE:
        await asyncio.sleep(0.02)
    return await note(request)


async def hang(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def count(_: web.Request) -> web.Response:
    return web.Response(text=str(len(ARRIVED)))


async def arrivals(_: web.Request) -> web.Response:
    found = dict(ARRIVED)
    ARRIVED.clear()
    return web.Response(body=orjson.dumps(found))


def main() -> None:
    answer = {"note": note, "slow": slow, "hang": hang}[sys.argv[2] if sys.argv[2:] else "note"]
    app = web.Application()
    app.add_routes([web.post("/", answer), web.get("/count", count), web.get("/arrivals", arrivals)])
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
