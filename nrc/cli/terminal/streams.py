"""Handles standard streams that were closed by the caller (`nrc … <&-`), or that fail."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, Literal, TextIO


class _Output(io.FileIO):
    """Standard output that may fail without ending the command; the fault is reported at the end."""

    fault: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            self.fault = error
            return memoryview(data).nbytes


def open_standard_streams() -> None:
    """Open closed streams on /dev/null, and let a fault of standard output not stop a command halfway.

    Else the next file that is opened gets the number of a stream: libuv aborts when that is closed.
    """
    # In this order each gets its own number, since a file gets the lowest free one.
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
    """Why the output could not be written; "" when its reader closed it, None when all was written."""
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
