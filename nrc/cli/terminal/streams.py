"""Standard streams that whoever started a command had closed (`nrc … <&-`), or that take nothing any more."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, Literal, TextIO


class _Output(io.FileIO):
    """Standard output that may fail: what is done is done to its end, and told of at the end."""

    fault: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            self.fault = error
            return memoryview(data).nbytes


def open_standard_streams() -> None:
    """Those that were closed lead nowhere, and a fault of standard output stops no command in the middle.

    Else the next file that is opened has the number of one: libuv aborts the process when that is closed.
    """
    # In this order each gets its own number: a file gets the lowest that is free.
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.flush()
        raw = _Output(sys.stdout.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=sys.stdout.encoding,
            errors=sys.stdout.errors,
            line_buffering=sys.stdout.line_buffering,
        )


def fault_of_output() -> str | None:
    """Why not all of the output could be written; "" when its reader wanted no more, None when all was."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _Output):
        return None
    sys.stdout.flush()
    if raw.fault is None:
        return None
    return "" if raw.fault.errno == errno.EPIPE else raw.fault.strerror


def _nowhere(mode: Literal["r", "w"]) -> TextIO:
    stream = Path(os.devnull).open(mode)  # noqa: SIM115 - for as long as the process lives
    os.set_inheritable(stream.fileno(), True)  # as standard streams are
    return stream
