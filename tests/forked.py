"""Commands of `nrc` as processes that are forked from one in which all of it is loaded.

Loading takes most of a second of a core, and the tests run some two hundred commands. What a user's own
start of a command needs beside that, tests/e2e and tests/unit/test_cli_main.py show.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).parents[1]
_LONGEST = 1 << 17  # bytes of a request


class Forking:
    """The process that is forked from, which is started by the first command and stopped by `close`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    async def run(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], streams: tuple[int, int, int]
    ) -> int:
        """The exit code of `nrc` with these arguments; below 0 the signal that ended it.

        streams: the file descriptors of its standard input, output and error.
        """
        if self._requests is None:
            self._start()
        assert self._requests
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                request = json.dumps([[*arguments], str(cwd), dict(env)]).encode()
                socket.send_fds(self._requests, [request], [*streams, theirs.fileno()])
            ours.setblocking(False)
            ended = await asyncio.get_running_loop().sock_recv(ours, 16)
        assert ended, "the process that commands are forked from has ended"
        return int(ended)

    def _start(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.forked", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def close(self) -> None:
        """It has ended."""
        if self._requests is not None and self._process is not None:
            self._requests.close()
            self._process.wait()
            self._requests = self._process = None


FORKING = Forking()


def _serve(requests: socket.socket) -> None:
    """Fork for each request, until there can be none any more. Returns in each child, when it has ended."""
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not requests:
                    pid, asker = key.data
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    with asker:
                        asker.send(str(code).encode())
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    continue
                request, fds, *_ = socket.recv_fds(requests, _LONGEST, 4)
                if not request:
                    return
                pid = os.fork()
                if pid == 0:
                    _become(request, fds)
                for each in fds[:3]:
                    os.close(each)
                asker = socket.socket(fileno=fds[3])
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, asker))


def _become(request: bytes, fds: list[int]) -> None:
    """Be the command that was asked for, to its end."""
    code = 1
    try:
        arguments, folder, env = json.loads(request)
        for number, each in enumerate(fds[:3]):
            os.dup2(each, number)
        os.closerange(3, 256)
        sys.stdin, sys.stdout, sys.stderr = _stream(0, "r"), _stream(1, "w"), _stream(2, "w")
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        time.tzset()
        sys.argv = ["nrc", *arguments]
        from nrc.cli import main

        main(prog_name="python -m nrc")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _stream(number: int, mode: str) -> TextIO:
    """A standard stream, as Python opens it."""
    stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - until the end
    assert isinstance(stream, io.TextIOWrapper)
    stream.reconfigure(line_buffering=number == 2 or stream.isatty())
    return stream


def _load() -> None:
    from tests.command import every_command

    assert len(list(every_command())) > 20
    assert threading.active_count() == 1, "a fork has only the thread that forks"
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
