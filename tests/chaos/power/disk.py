"""A mounted disk that loses its power: what was synced is kept, the rest is lost.

tests/chaos/power/model.py has the exact rules. Needs root and /dev/fuse on Linux; `unusable` says why there
can be no such disk here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.chaos.power.model import Loss

ROOT = Path(__file__).parents[3]


def unusable() -> str:
    """Why no such disk can be mounted here and what would help; "" when it can."""
    if sys.platform != "linux":
        return "power cuts need Linux's /dev/fuse"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be opened ({error.strerror}): load the module fuse (modprobe fuse), be root"
    # mount(2); a container has it with `--cap-add SYS_ADMIN --device /dev/fuse`.
    status = Path("/proc/self/status").read_text()
    allowed = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return "" if allowed & 1 << 21 else "only root may mount (CAP_SYS_ADMIN): run it as root"


class Disk:
    """A disk mounted on `folder`, for as long as its context (`disk`) is open."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._process = process

    def freeze(self) -> None:
        """From now on nothing gets to the disk and nothing is answered; `cut` ends that."""
        self._process.send_signal(signal.SIGSTOP)

    def cut(self) -> None:
        """The power is off, and on again: mounted anew with what was durable, by its model.

        Whoever had a file open gets errors; kill those between `freeze` and this.
        """
        assert self._process.stdin
        self._send({"do": "cut"})
        self._process.send_signal(signal.SIGCONT)
        self._answer()

    def lose(self, loss: Loss) -> None:
        """What becomes at the next cut of that which was not synced."""
        self._ask("loss", loss=loss.value)

    def counts(self) -> dict[str, int]:
        """How many writes and syncs there were."""
        found: dict[str, int] = self._ask("counts")
        return found

    def _ask(self, do: str, **words: Any) -> Any:
        self._send({"do": do, **words})
        return self._answer()

    def _send(self, words: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(orjson.dumps(words) + b"\n")
        self._process.stdin.flush()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the disk on {self.folder} ended by itself")
        return orjson.loads(line)["ok"]


@contextmanager
def disk(
    folder: Path,
    *,
    ordered_below: Iterable[str] = (),
    loss: Loss = Loss.FORGET,
    seed: int = 0,
    latency: float = 0.0,
    lies: bool = False,
) -> Iterator[Disk]:
    """An empty disk on this folder, which must be there. latency: seconds that each sync takes.

    lies: syncs do nothing, so that whoever relies on them is caught.
    """
    words = [str(folder), "--loss", loss.value, "--seed", str(seed), "--latency", str(latency)]
    if lies:
        words.append("--lies")
    for name in ordered_below:
        words += ["--ordered-below", name]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.power.serving", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    made = Disk(folder, process)
    try:
        made._answer()
        yield made
    finally:
        assert process.stdin and process.stdout
        process.send_signal(signal.SIGCONT)
        process.stdin.close()
        process.wait()
        process.stdout.close()
