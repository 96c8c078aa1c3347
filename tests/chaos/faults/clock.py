"""A clock that jumps under a running process: libfaketime, told the offset by a file.

Only the time of day jumps (what `time.time` and `datetime.now` give); the monotonic clock, by which the event
loop waits, goes on as it does when an operator or NTP sets a machine's clock.

    Clock(folder / "clock")           # makes the file, at an offset of 0
    clock.environment()               # for the process
    clock.jump(3 * 3600)              # from now on it is three hours later for whoever has that file
"""

from __future__ import annotations

from pathlib import Path

_LIBRARIES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
)


def library() -> Path | None:
    """libfaketime for programs with threads; None where it is not installed."""
    root = Path("/")
    return next((found for each in _LIBRARIES for found in sorted(root.glob(each.lstrip("/")))), None)


def unfit() -> str:
    """Why no clock can jump here; "" when it can."""
    return "" if library() else "libfaketime is not installed (Debian and Ubuntu: apt-get install faketime)"


def environment(file: Path | str) -> dict[str, str]:
    """The variables with which a process takes its clock's offset from `file`, at every look anew."""
    found = library()
    assert found is not None, unfit()
    return {
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # The times of files stay what they are.
        "NO_FAKE_STAT": "1",
    }


def jump(file: Path, seconds: int) -> None:
    """From now on the clock of whoever has this file is so many seconds ahead (behind, when negative)."""
    draft = file.with_name(file.name + ".new")
    draft.write_text(f"{seconds:+d}\n")
    # In one step: a reader of half a file would fall back to the true time.
    draft.replace(file)
