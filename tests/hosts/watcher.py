"""Holds the network namespaces of hosts, and ends everything in them when whoever started it is gone.

Run as `python -m tests.hosts.watcher COUNT`. Prints the process ids of who holds them on one line, and then
waits for the end of its standard input, which also comes when its parent is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

_HELD = "ip link set lo up && echo && exec cat"
"""What holds a namespace: it ends with its standard input, and so with the watcher."""


def namespace_of(pid: int) -> str:
    """The network namespace of a process, as the kernel names it; "" when it is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def processes_in(namespaces: Collection[str], *, but: Collection[int]) -> list[int]:
    """The processes in these network namespaces, without those in `but`."""
    found = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return [pid for pid in found if pid not in but and namespace_of(pid) in namespaces]


def kill_all(namespaces: Collection[str], *, but: Collection[int]) -> None:
    """SIGKILL for all processes in these namespaces, until there are none; not for those in `but`."""
    while pids := processes_in(namespaces, but=but):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.002)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # for the tests; this one ends after them
    holders = []
    for _ in range(int(sys.argv[1])):
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", _HELD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdout is not None
        if holder.stdout.readline() != b"\n":
            raise SystemExit("no network namespace can be made")
        holders.append(holder)
    pids = [holder.pid for holder in holders]
    namespaces = [namespace_of(pid) for pid in pids]
    print(*pids, flush=True)
    sys.stdin.buffer.read()
    kill_all(namespaces, but=pids)
    for holder in holders:
        holder.communicate()


if __name__ == "__main__":
    main()
