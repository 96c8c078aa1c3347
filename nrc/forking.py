"""Forks the processes of `nrc up` from one in which their packages are loaded.

Owns both ends: the process that forks, which is forked itself before `nrc up` has an event loop, threads or
open files, and in `nrc up` what asks it for a process (`Forker`). What such a process then does is
`nrc <name>`, as when it is started as a program. The one that forks ends when `nrc up` does.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import count, pairwise
from typing import Any, NoReturn

from setproctitle import setproctitle

from nrc.exits import Exit
from runtime.log import logger
from schemas.errors import NrcError

PACKAGES = {
    "router": ("nrc.processes", "router.declaring.service", "ledger.losses"),
    "gateway": ("gateway.service", "extra.mounting"),
    "deliverer": ("deliverer.service",),
    "ledger": ("ledger.keeper.service", "nrc.cli.ledger.commands"),
    "inbox": ("inbox.service",),
    "console": ("console.service",),
    "alerts": ("alerting.service", "nrc.cli.alerting.commands"),
}
"""What each kind of process loads, beside what those before it load; in the order in which they start."""

TITLE = "nrc-forker"  # of the process that forks, for `ps`

UNKNOWN = 255
"""The exit code of a process that ended when nobody was left who could hear its own."""

LONGEST_WAIT = 60.0  # seconds for a fork, loading included; then it is started as a program
_LONGEST = 1 << 16  # bytes of a request or an answer
_MOST_FDS = 16
_FOR_UP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A terminal or a service manager may send these to all processes; what then happens `nrc up` decides."""

log = logger(__name__)


class CannotFork(NrcError):
    """The process that forks could not do so, or is not there any more."""


class Forked:
    """A process that was forked, as asyncio has those of programs."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._pidfd = pidfd
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """Its exit code, once it has ended; below 0 the signal that ended it."""
        await self._ended.wait()
        assert self.returncode is not None  # noqa: S101
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Raises ProcessLookupError when it has ended, also when another process has its pid now."""
        if self.returncode is not None:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._pidfd, number)

    def end(self, code: int) -> None:
        """It has ended."""
        self.returncode = code
        os.close(self._pidfd)
        self._ended.set()

    def end_by_itself(self) -> None:
        """Watch for its end, of which nobody will tell."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self._pidfd)
            self.end(UNKNOWN)

        loop.add_reader(self._pidfd, ended)


class Forker:
    """What `nrc up` asks for processes. pid, link: of the process that forks."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        self.pid = pid
        self._link = link
        self._watched = False
        self._lost = False
        self._numbers = count()
        self._asked: dict[int, asyncio.Future[Forked]] = {}
        self._running: dict[int, Forked] = {}

    async def start(self, name: str, env: Mapping[str, str], fds: Sequence[int]) -> Forked:
        """A process `nrc <name>`, with these variables beside ours, and these files under the same numbers.

        Raises CannotFork.
        """
        loop = asyncio.get_running_loop()
        if self._lost:
            raise CannotFork("the process that forks has ended")
        if not self._watched:
            self._watched = True
            loop.add_reader(self._link, self._readable)
        number = next(self._numbers)
        request = {"number": number, "name": name, "env": dict(env), "fds": [*fds]}
        try:
            socket.send_fds(self._link, [json.dumps(request).encode()], fds)
        except OSError as error:
            raise CannotFork(str(error)) from None
        asked: asyncio.Future[Forked] = loop.create_future()
        self._asked[number] = asked
        # When it is killed, all that wait for it are told.
        too_long = loop.call_later(LONGEST_WAIT, self._kill)
        try:
            return await asked
        finally:
            too_long.cancel()

    def _readable(self) -> None:
        try:
            answer, fds = _received(self._link)
        except BlockingIOError:
            return
        except OSError:
            answer, fds = None, []
        if answer is None:
            self._lose()
        elif "code" in answer:
            self._running.pop(answer["pid"]).end(answer["code"])
        elif "fault" in answer:
            self._tell(answer["number"], CannotFork(answer["fault"]))
        else:
            forked = self._running[answer["pid"]] = Forked(answer["pid"], fds[0])
            self._tell(answer["number"], forked)

    def _tell(self, number: int, what: Forked | CannotFork) -> None:
        asked = self._asked.pop(number)
        if isinstance(what, CannotFork):
            if not asked.done():
                asked.set_exception(what)
        elif asked.done():  # whoever asked was cancelled meanwhile
            what.send_signal(signal.SIGKILL)
        else:
            asked.set_result(what)

    def _lose(self) -> None:
        """It has ended. What it forked goes on, and only that it ends can be seen from here."""
        log.warning("the process that forks the others has ended: from now on they are started as programs")
        asyncio.get_running_loop().remove_reader(self._link)
        self.close()
        for number in list(self._asked):
            self._tell(number, CannotFork("the process that forks has ended"))
        for forked in self._running.values():
            forked.end_by_itself()
        self._running.clear()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """It has ended, and so has what it forked without anybody knowing."""
        if self._lost:
            return
        self._lost = True
        self._kill()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        with self._link, suppress(OSError):
            while True:
                answer, fds = _received(self._link)
                if answer is None:
                    break
                for each in fds:
                    with suppress(ProcessLookupError):
                        signal.pidfd_send_signal(each, signal.SIGKILL)
                    os.close(each)


@contextmanager
def forking() -> Iterator[Forker | None]:
    """Something that forks while the context is open; None where that is not possible.

    Call it before there is an event loop.
    """
    forker = _fork_forker() if _is_possible() else None
    try:
        yield forker
    finally:
        if forker is not None:
            forker.close()


def _is_possible() -> bool:
    """Whether there is one thread, and a kernel that has pidfds and lets us use them."""
    if threading.active_count() > 1 or not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def _fork_forker() -> Forker | None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        return None
    if pid:
        theirs.close()
        ours.setblocking(False)
        return Forker(pid, ours)
    code = Exit.FAILED
    try:
        ours.close()
        _serve(theirs)
        code = Exit.OK
    except BrokenPipeError:  # `nrc up` is gone
        code = Exit.OK
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _received(link: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """A message and the files that came with it; None once the other end is closed."""
    message, fds, *_ = socket.recv_fds(link, _LONGEST, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
    return (json.loads(message) if message else None), fds


def _serve(requests: socket.socket) -> None:
    """Load everything and fork for each request, until `nrc up` has ended."""
    os.setsid()
    handlers = {each: signal.signal(each, signal.SIG_IGN) for each in _FOR_UP}
    setproctitle(TITLE)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    gc.disable()  # nothing that is loaded is garbage
    unloaded = list(PACKAGES)
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(0 if unloaded else None):
                if key.fileobj is requests:
                    request, fds = _received(requests)
                    if request is None:
                        return
                    _answer(request, fds, requests, selector, handlers)
                else:
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(key.data, 0)[1])
                    requests.send(json.dumps({"pid": key.data, "code": code}).encode())
            if unloaded:
                _load(unloaded.pop(0))


def _load(kind: str) -> None:
    for module in PACKAGES[kind]:
        with suppress(Exception):  # the process that needs it meets the same fault, and says so
            import_module(module)


def _answer(
    request: dict[str, Any],
    fds: list[int],
    requests: socket.socket,
    selector: selectors.BaseSelector,
    handlers: Mapping[signal.Signals, Any],
) -> None:
    """Fork one process, and tell its pid. Its end is one of the things that `selector` waits for then."""
    gc.freeze()  # so that a collection in a child does not write to memory that all of them share
    answer = {"number": request["number"]}
    try:
        pid = os.fork()
        if pid == 0:
            _become(request, fds, handlers)
    except OSError as error:
        requests.send(json.dumps(answer | {"fault": str(error)}).encode())
    else:
        pidfd = os.pidfd_open(pid)
        selector.register(pidfd, selectors.EVENT_READ, pid)
        socket.send_fds(requests, [json.dumps(answer | {"pid": pid}).encode()], [pidfd])
    for each in fds:
        os.close(each)


def _become(request: dict[str, Any], fds: list[int], handlers: Mapping[signal.Signals, Any]) -> NoReturn:
    """Be the process that was asked for, to its end.

    What it has of the one that forks, objects of files that are closed here among them, is never finalized.
    """
    code: int = Exit.FAILED
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.setsid()
        _place(fds, request["fds"])
        os.environ.update(request["env"])
        name = request["name"]
        setproctitle(f"nrc {name}")
        sys.argv[1:] = [name]
        gc.enable()
        from nrc.cli import main

        main([name], prog_name="nrc")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)


def _place(fds: Sequence[int], numbers: Sequence[int]) -> None:
    """Give each file the number that it has in `nrc up`, and close all others but the standard streams."""
    above = max(numbers) + 1
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD, above) for each in fds]
    for each, number in zip(moved, numbers, strict=True):
        os.dup2(each, number)
    kept = [2, *sorted(numbers), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]
    for low, high in pairwise(kept):
        os.closerange(low + 1, high)
