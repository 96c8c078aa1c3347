"""Waiting for something to become true, with a deadline: what tests use instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
FIRST, LONGEST = 0.02, 0.1  # seconds between two looks
PATIENCE = 25.0
"""Seconds: for a machine that does much else. Less than the 30 s of a gateway's refresh in tests."""


async def eventually(
    condition: Callable[[], T | Awaitable[T]], *, within: float = PATIENCE, every: float | None = None
) -> T:
    """The first truthy value of `condition`; AssertionError with its last value after `within` seconds.

    It is asked `every` so many seconds. By default that is 0.02 at first, and less often the longer it takes:
    who waits for seconds need not keep a core busy with asking.
    """
    began = time.monotonic()
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value  # type: ignore[return-value]
        if (waited := time.monotonic() - began) > within:
            raise AssertionError(f"not within {within} s; last value: {value!r}")
        await asyncio.sleep(min(max(FIRST, waited / 50), LONGEST) if every is None else every)
