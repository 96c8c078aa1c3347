"""How long does one large request hold up a gateway for everyone else? In milliseconds, for each kind.

While it is under way, another connection asks for /health/live again and again: the longest that it waits for
an answer. Beside that, how late the gateway's event loop was with a timer (bench/load/watched_gateway.py).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from bench.load.publisher import message
from bench.system import System, consumer, free_port, system
from schemas.abonnement import MAX_FILTERS

SETTLE = 0.5  # seconds after a request in which what is left of it may still come
BODY = 1024 * 1024  # bytes, the largest that NRC_MAX_BODY allows by default


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of large request. A PATCH is of an abonnement without kanalen, made beforehand."""

    name: str
    path: str
    body: bytes
    method: str = "POST"
    status: int = 0  # of the answer; 0: any success


def lag(options: argparse.Namespace) -> None:
    """Each kind of large request `--runs` times, one at a time, and as long with none."""
    with system(NRC_CALLBACK_CHECK="reachable") as running, consumer() as callback:
        running.post("/kanaal", {"naam": "zaken"})
        with Watched.beside(running) as gateway:
            for shape in (None, *_shapes(callback)):
                found = [gateway.disturbed_by(shape) for _ in range(options.runs)]
                waits, lags = zip(*found[options.runs > 1 :], strict=True)  # the first one warms up
                print(
                    f"{shape.name if shape else 'nothing':>23}: longest answer {_told(waits)}; "
                    f"event loop late {_told(lags)}",
                    flush=True,
                )


def _told(times: tuple[float, ...]) -> str:
    return f"median {statistics.median(times):.1f} ms (min {min(times):.1f}, max {max(times):.1f})"


def _shapes(callback: str) -> tuple[Shape, ...]:
    head = message("zaken", 1)[:-1] + b', "extra": ['
    numbers = head + b",".join([b"1"] * ((BODY - len(head) - 2) // 2)) + b"]}"
    pairs = {f"f{number}": "x" * 90 for number in range(MAX_FILTERS)}
    groups = [
        {"naam": "zaken", "filters": {f"f{number}": f"{group:90}" for number in range(MAX_FILTERS // 1000)}}
        for group in range(1000)
    ]
    too_many = {f"f{number}": "x" for number in range(75_000)}

    def abonnement(*kanalen: Any) -> bytes:
        asked = {"callbackUrl": callback, "auth": "Token bench", "kanalen": kanalen}
        return json.dumps(asked, separators=(",", ":")).encode()

    many_filters, many_kanalen = abonnement({"naam": "zaken", "filters": pairs}), abonnement(*groups)
    refused = abonnement({"naam": "zaken", "filters": too_many})
    return (
        Shape("1 MiB of numbers", "/notificaties", numbers),
        Shape("10,000 filters", "/abonnement", many_filters),
        Shape("1,000 kanalen", "/abonnement", many_kanalen),
        Shape("PATCH to 10,000 filters", "/abonnement", many_filters, method="PATCH"),
        Shape("PATCH to 1,000 kanalen", "/abonnement", many_kanalen, method="PATCH"),
        Shape("75,000 filters, refused", "/abonnement", refused, status=400),
    )


class Watched:
    """A gateway that tells how late its event loop was, beside those of a System."""

    def __init__(self, running: System, process: subprocess.Popen[str], port: int) -> None:
        self._headers = {"Authorization": running.authorization, "Content-Type": "application/json"}
        self._process = process
        self._port = port
        self._sender = ThreadPoolExecutor(1)
        assert process.stdin is not None
        assert process.stdout is not None
        self._ask, self._told = process.stdin, process.stdout

    @classmethod
    @contextmanager
    def beside(cls, running: System) -> Iterator[Watched]:
        """One for as long as the context is open."""
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.load.watched_gateway"],
            env={**running.environment, "NRC_GATEWAY_LISTEN": f"127.0.0.1:{port}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            watched = cls(running, process, port)
            if watched._told.readline() != "ready\n":
                raise SystemExit("the gateway did not get ready")
            yield watched
        finally:
            process.kill()
            process.wait()

    def disturbed_by(self, shape: Shape | None) -> tuple[float, float]:
        """(the longest wait for an answer, the lag of the event loop), while such a request is handled."""
        made = self._empty(shape) if shape is not None and shape.method == "PATCH" else None
        light = HTTPConnection("127.0.0.1", self._port)
        light.connect()
        self._lag()
        sending = self._sender.submit(self._send, shape, made)
        worst, end = 0.0, 0.0
        while not end or time.perf_counter() < end:
            began = time.perf_counter()
            light.request("GET", "/health/live")
            light.getresponse().read()
            worst = max(worst, time.perf_counter() - began)
            if not end and sending.done():
                end = time.perf_counter() + SETTLE
        lag = self._lag()
        light.close()
        if made := sending.result() or made:
            self._request("DELETE", made)
        return worst * 1000, lag

    def _lag(self) -> float:
        self._ask.write("\n")
        self._ask.flush()
        return float(self._told.readline())

    def _send(self, shape: Shape | None, path: str | None) -> str | None:
        """The path of what was made, if something was. path: of what there is already."""
        if shape is None:
            time.sleep(1)
            return None
        return self._request(shape.method, path or f"/api/v1{shape.path}", shape.body, wanted=shape.status)

    def _empty(self, shape: Shape) -> str | None:
        asked = json.loads(shape.body) | {"kanalen": []}
        return self._request("POST", f"/api/v1{shape.path}", json.dumps(asked).encode())

    def _request(self, method: str, path: str, body: bytes | None = None, *, wanted: int = 0) -> str | None:
        """The path in the header Location of the answer. Raises SystemExit on another status."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request(method, path, body, self._headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status not in ((wanted,) if wanted else (200, 201, 204)):
            raise SystemExit(f"{method} {path}: {answer.status} {content[:500]!r}")
        location = answer.getheader("Location")
        return location and "/" + location.split("/", 3)[3]
