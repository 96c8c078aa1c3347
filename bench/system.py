"""The product as an operator runs it (`nrc up`), on a port and in a folder of its own, for one benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from nrc.forking import TITLE

START_TIMEOUT = 300.0


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class System:
    """A running `nrc up`, an application with both rights, and its token. again: the folder has it all.

    said: what it printed until it was ready.
    """

    def __init__(self, folder: Path, *, again: bool = False, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.root = f"http://127.0.0.1:{self.port}/api/v1"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NRC_")},
            "NRC_STATE_DIR": str(folder),
            "NRC_GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "NRC_CONSOLE_LISTEN": "",
            "NRC_CALLBACK_CHECK": "off",
            "NRC_LOG_LEVEL": "info",
            **settings,
        }
        self._log = (folder / "nrc.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nrc", "up", "--no-demo"],
            env=self.environment, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        self.said = ""
        try:
            self._wait_ready()
        except SystemExit:
            self.stop()
            raise
        if not again:
            self.nrc("application", "add", "bench", "--scope", "publiceren", "--scope", "consumeren")
        self._token_until = 0.0
        self.fresh_token()

    def fresh_token(self) -> None:
        """`authorization` holds for half an hour at least."""
        if time.monotonic() > self._token_until:
            self.authorization = self.nrc("token", "bench").strip().partition(": ")[2]
            self._token_until = time.monotonic() + 1800

    @property
    def pids(self) -> dict[str, int]:
        """The processes, the one that forks them (`forker`), and RabbitMQ's as `beam`."""
        told = re.findall(r"([a-z]+(?: \d+)?) (\d+)(?:,|$)", self._processes)
        beam = int((self.folder / "rabbitmq" / "rabbitmq.pid").read_text())
        return {**{name: int(pid) for name, pid in told}, **self._forker(), "beam": beam}

    def _forker(self) -> dict[str, int]:
        """Its pid; nothing while our processes do not run."""
        up = self._process.pid
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{up}/task/{up}/children").read_text().split():
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(TITLE.encode()):
                    return {"forker": int(pid)}
        return {}

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU that each kind of process has used, all of a kind together: gateway, beam, …"""
        used: dict[str, float] = {}
        for name, pid in self.pids.items():
            kind = name.partition(" ")[0]
            used[kind] = used.get(kind, 0.0) + _cpu_of(pid)
        return used

    def cpu_of_rabbitmq(self) -> float:
        """Seconds of CPU that RabbitMQ has used, also while our processes do not run."""
        return _cpu_of(self.pids["beam"])

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said += line
            if line.strip().startswith("Processes "):
                self._processes = line.strip().removeprefix("Processes ")
            if line.startswith("NRC ready:"):
                return
            if time.monotonic() > deadline:
                break
        raise SystemExit(f"nrc up did not get ready; see {self.folder / 'nrc.log'}")

    def nrc(self, *words: str) -> str:
        """What a command prints, run beside the running system."""
        done = subprocess.run(
            [sys.executable, "-m", "nrc", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"nrc {' '.join(words)}: {done.stderr}")
        return done.stdout

    def post(self, path: str, body: Any) -> Any:
        """The JSON answer to a POST. Raises on any error status."""
        request = Request(
            self.root + path,
            json.dumps(body).encode(),
            {"Authorization": self.authorization, "Content-Type": "application/json"},
        )
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def delete(self, url: str) -> None:
        """Delete what is at this URL. Raises on any error status."""
        request = Request(url, headers={"Authorization": self.authorization}, method="DELETE")
        urlopen(request, timeout=60).close()

    def subscribe(self, callback: str, kanaal: str, *groups: dict[str, str]) -> str:
        """Make an abonnement, with a filter for each of `groups`; its URL."""
        kanalen = [{"naam": kanaal, "filters": group} for group in groups or ({},)]
        made = self.post("/abonnement", {"callbackUrl": callback, "auth": "Token bench", "kanalen": kanalen})
        return str(made["url"])

    def kill(self) -> None:
        """Kill `nrc up`, and return when its processes have ended. RabbitMQ goes on; see `again`."""
        pids = self.pids
        del pids["beam"]
        self._process.kill()
        self._process.wait()
        while any(map(_runs, pids.values())):
            time.sleep(0.05)
        self._log.close()

    def stop(self) -> None:
        """Stop all of it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._log.close()


def _cpu_of(pid: int) -> float:
    fields = _stat(pid)  # utime and stime are the 12th and 13th
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return _stat(pid)[0] != "Z"
    return False


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@contextlib.contextmanager
def system(**settings: str) -> Iterator[System]:
    """A System for as long as the context is open."""
    with tempfile.TemporaryDirectory(prefix="nrc-bench-") as folder:
        running = System(Path(folder), **settings)
        try:
            yield running
        finally:
            running.stop()


@contextlib.contextmanager
def consumer(kind: str = "note") -> Iterator[str]:
    """A callback in a process of its own, for as long as the context is open; its root URL.

    kind: one of those in bench/load/consumer.py.
    """
    port = free_port()
    with _listening(port, "bench.load.consumer", str(port), kind) as url:
        yield url


@contextlib.contextmanager
def counter(port: int, after: float = 0.0) -> Iterator[str]:
    """The same for a callback that only counts, and costs little. after: milliseconds until it answers."""
    with _listening(port, "bench.load.flood", "consume", str(port), "--after", str(after)) as url:
        yield url


@contextlib.contextmanager
def _listening(port: int, *module: str) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", *module])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()  # one that hangs on purpose would not stop otherwise
        process.wait()


def publish(running: System, *, count: int, concurrency: int, rate: float = 0, kanaal: str = "zaken") -> Any:
    """Publish from a process of its own; what bench.load.publisher prints."""
    words = ["--url", running.root, "--count", str(count), "--concurrency", str(concurrency)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.load.publisher", *words, "--rate", str(rate), "--kanaal", kanaal],
        env={**os.environ, "BENCH_AUTHORIZATION": running.authorization},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def flood(running: System, *, count: int, concurrency: int = 64) -> dict[str, int]:
    """Publish the same so many times, at little cost to the machine; how many answers had each status."""
    words = ["publish", "--url", running.root, "--count", str(count), "--concurrency", str(concurrency)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.load.flood", *words],
        env={**os.environ, "BENCH_AUTHORIZATION": running.authorization},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    statuses: dict[str, int] = json.loads(done.stdout)
    return statuses


def arrivals(callback: str, *, at_least: int, within: float = 120.0) -> dict[str, int]:
    """When (nanoseconds since the epoch) each notificatie first arrived, once that many have."""
    deadline = time.monotonic() + within
    while True:
        with urlopen(f"{callback}/count", timeout=10) as answer:
            count = int(answer.read())
        if count >= at_least:
            break
        if time.monotonic() > deadline:
            raise SystemExit(f"only {count} of {at_least} arrived within {within:g} s")
        time.sleep(0.1)
    with urlopen(f"{callback}/arrivals", timeout=60) as answer:
        found: dict[str, int] = json.load(answer)
        return found


def counted(callback: str) -> int:
    """How many notificaties a consumer has got."""
    with urlopen(f"{callback}/count", timeout=30) as answer:
        return int(answer.read())
