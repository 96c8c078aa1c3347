"""A consumer without a callback, as a process: fetches, tells what it got, acknowledges, and fetches again.

Run as `python -m tests.chaos.clients.fetcher PATH HOST:PORT ...`, with its Authorization in the environment.
Of several gateways it asks another one when one gives no answer. Prints a JSON line of what it got before it
acknowledges that, and one once that was answered with 204; the lines of one that is killed can still be read.
tests/chaos/clients/fetcher_process.py is the other end.
"""

from __future__ import annotations

import http.client
import os
import sys
import time
from collections import deque
from typing import Any

import orjson

AUTHORIZATION = "NRC_TEST_AUTHORIZATION"
AT_ONCE = 50
"""The `limit` of a fetch, and so what may come again where it is not acknowledged."""
WAIT = 3  # seconds of a long poll
PAUSE = 0.25
"""Seconds before each fetch: with its acknowledgement, less than NRC_EXTRA_RATE allows."""
AFTER_ERROR = 0.5  # seconds
TIMEOUT = 15.0  # seconds for an answer
TRIES = 3
"""Of one acknowledgement, after which it fetches again."""


class Api:
    """The paths below that of one abonnement, over a kept connection to one of the gateways."""

    def __init__(self, path: str, gateways: list[str]) -> None:
        self._connections = deque(http.client.HTTPConnection(each, timeout=TIMEOUT) for each in gateways)
        self._path = path
        self._headers = {
            "Authorization": os.environ[AUTHORIZATION],
            "Content-Type": "application/json",
        }

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body; (0, b"") where no whole answer came."""
        try:
            content = None if body is None else orjson.dumps(body)
            self._connections[0].request(method, self._path + path, content, self._headers)
            answer = self._connections[0].getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connections[0].close()
            self._connections.rotate()
            return 0, b""


def tell(**fields: Any) -> None:
    """One line, whole: it is read also when this process is killed."""
    os.write(sys.stdout.fileno(), orjson.dumps(fields) + b"\n")


def main() -> None:
    path, *gateways = sys.argv[1:]
    api = Api(path, gateways)
    parent = os.getppid()
    while os.getppid() == parent:  # as long as there is somebody to tell
        time.sleep(PAUSE)
        began = time.monotonic()
        status, body = api.ask("GET", f"?wait={WAIT}&limit={AT_ONCE}")
        if status != 200:
            if status not in (0, 503):
                tell(unexpected=status, body=body.decode(errors="replace")[:300])
            time.sleep(AFTER_ERROR)
            continue
        page = orjson.loads(body)
        if not page["notificaties"]:
            continue
        got = [(each["id"], each["notificatie"]["hoofdObject"]) for each in page["notificaties"]]
        tell(began=began, at=time.monotonic(), got=got)
        for _ in range(TRIES):
            status, body = api.ask("POST", "/ack", {"cursor": page["cursor"]})
            if status == 204:
                tell(acknowledged=True, at=time.monotonic())
                break
            if status not in (0, 503):
                tell(unexpected=status, body=body.decode(errors="replace")[:300])
            time.sleep(AFTER_ERROR)


if __name__ == "__main__":
    main()
