"""A clock that jumps under a running process: `clock.c`, preloaded, adds an offset that stands in a file.

Only the time of day jumps (what `time.time` and `datetime.now` give); the monotonic clock, by which the event
loop and its threads wait, goes on as it does when an operator or NTP sets a machine's clock.

    environment(file)     # for the process; the file is made when there is none, with an offset of 0
    jump(file, 3 * 3600)  # from now on it is three hours later for whoever has that file
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

SOURCE = Path(__file__).with_suffix(".c")


def unfit() -> str:
    """Why no clock can jump here; "" when it can."""
    if sys.platform != "linux":
        return "clocks jump on Linux only"
    if shutil.which("cc"):
        return ""
    return "there is no C compiler (Debian and Ubuntu: apt-get install gcc libc6-dev)"


@cache
def _library() -> Path:
    folder = Path(mkdtemp(prefix="nrc-clock-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = folder / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", made, SOURCE, "-ldl"], check=True)
    return made


def environment(file: Path | str) -> dict[str, str]:
    """The variables with which a process takes its clock's offset from `file`, at every look anew."""
    return {"LD_PRELOAD": str(_library()), "TEST_CLOCK": str(file)}


def jump(file: Path, seconds: int) -> None:
    """From now on the clock of whoever has this file is so many seconds ahead (behind, when negative)."""
    with file.open("r+b" if file.exists() else "w+b", buffering=0) as opened:
        opened.write(seconds.to_bytes(8, sys.byteorder, signed=True))
