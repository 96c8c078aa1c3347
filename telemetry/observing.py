"""What a process opens around its work, so that it is observed. Loads nothing unless that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any

from runtime.settings import Settings

Observe = Callable[[Any], AbstractAsyncContextManager[object]]
"""Takes the parts of a process, as its `serve` gives them."""


def observe(process: str, settings: Settings) -> Observe:
    """For `gateway`, `router`, `deliverer` or `ledger`: what its `serve` takes as `observe`."""
    if settings.metrics_listen is None:
        return nullcontext
    from telemetry.metrics.of_processes import serve_metrics_of

    return partial(serve_metrics_of, process, settings.metrics_listen)
