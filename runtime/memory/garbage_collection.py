"""Pauses Python's garbage collector, which stops all threads of a process while it runs."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_counting = threading.Lock()
_pauses = 0  # contexts that are open


@contextmanager
def collections_paused() -> Iterator[None]:
    """No automatic collection while the context is open, in any thread. Several may be open at once.

    For work in a thread that makes many objects without cycles, such as parsing a large JSON text: a megabyte
    is half a million objects, and each of the many collections that these cause takes up to 0.1 s.
    """
    global _pauses
    with _counting:
        _pauses += 1
        gc.disable()
    try:
        yield
    finally:
        with _counting:
            _pauses -= 1
            if not _pauses:
                gc.enable()
