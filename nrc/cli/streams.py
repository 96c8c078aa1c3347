"""Standard streams that whoever started a command had closed (`nrc … <&-`, some init systems)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal, TextIO


def open_standard_streams() -> None:
    """Those that were closed lead nowhere.

    Else the next file that is opened has the number of one: libuv aborts the process when that is closed.
    """
    # In this order each gets its own number: a file gets the lowest that is free.
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")


def _nowhere(mode: Literal["r", "w"]) -> TextIO:
    stream = Path(os.devnull).open(mode)  # noqa: SIM115 - for as long as the process lives
    os.set_inheritable(stream.fileno(), True)  # as standard streams are
    return stream
