"""The notificaties of a load, and when each is sent: so many at once, or at a steady rate.

A notificatie is the guide's example. Its mark, by which it is known again at a callback, is the last segment
of its resourceUrl: NRCs pass that on unchanged, also those that make the body anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import count as counting
from typing import Any

import orjson

KENMERKEN = {
    "bronorganisatie": "224557609",
    "zaaktype": "https://catalogi.example.nl/api/v1/zaaktypen/53c5c164",
    "vertrouwelijkheidaanduiding": "openbaar",
}


def message(kanaal: str, number: int, *, run: str = "") -> bytes:
    """The body of a notificatie with the mark `<run>-<number>`, and a hoofdObject that ends in its number."""
    mark = f"{run}-{number}" if run else number
    return orjson.dumps(
        {
            "kanaal": kanaal,
            "hoofdObject": f"https://zaken.example.nl/api/v1/zaken/{number}",
            "resource": "status",
            "resourceUrl": f"https://zaken.example.nl/api/v1/statussen/{mark}",
            "actie": "create",
            "aanmaakdatum": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "kenmerken": KENMERKEN,
        }
    )


def mark_of(body: bytes) -> tuple[str, int] | None:
    """The run and number of the mark; None of a body that has none."""
    try:
        content: Any = orjson.loads(body)
        run, _, number = content["resourceUrl"].rpartition("/")[2].rpartition("-")
        return run, int(number)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


async def send_each(
    send: Callable[[int], Awaitable[float]],
    *,
    at_once: int,
    count: int | None = None,
    seconds: float | None = None,
    rate: float = 0.0,
) -> None:
    """Call `send` with 0, 1, … until there were `count`, or `seconds` have passed; so many at once at most.

    rate: how many a second begin; 0: each as soon as one has ended. What `send` returns is for how many
    seconds that one of the `at_once` then sends nothing. Returns when all have ended; raises as `send` does.
    """
    numbers, began = counting(), time.monotonic()

    async def work() -> None:
        while True:
            number = next(numbers)
            due = began + number / rate if rate else time.monotonic()
            if count is not None and number >= count:
                return
            if seconds is not None and max(due, time.monotonic()) >= began + seconds:
                return
            if rate and (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            if pause := await send(number):
                await asyncio.sleep(pause)

    try:
        async with asyncio.TaskGroup() as workers:
            for number in range(at_once):
                workers.create_task(work(), name=f"sending {number}")
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
