"""Runs one process of the product, from its first log line to its exit code.

Owns what all processes have in common around `serve`: logging, the event loop, signals, and the link with
`nrc up` when that started it. Knows nothing of what they do.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import click
import uvloop

from nrc.exits import Exit, exit_code
from nrc.rabbitmq.private_broker import find_running
from nrc.state_lock import beside_up
from runtime.lifecycle import Tasks
from runtime.log import configure_logging, logger
from runtime.open_files import allow_open_files, tell_of_none_left
from runtime.settings import Settings
from schemas.errors import BrokerUnavailable, NrcError, SettingsError, UsageError
from telemetry.observing import Observing

UP_FD = "NRC_UP_FD"
"""The file descriptor of a socket to `nrc up`: the process writes READY; its end means `nrc up` died."""
LABEL = "NRC_LABEL"
"""The name of this process in log lines, given by `nrc up`."""

LISTEN_FD = "NRC_LISTEN_FD"
"""The file descriptor of the socket, bound by `nrc up`, on which gateway, inbox or console listens."""
READY = b"ready\n"

LAST_RESORT = 2.0
"""Seconds beside NRC_STOP_TIMEOUT after which a process that was told to stop is ended in any case."""

log = logger(__name__)

Serve = Callable[..., Awaitable[None]]


def run_process(name: str, settings: Settings) -> int:
    """Run a process of this kind until told to stop; returns the exit code.

    A fault is one line in the log, with a traceback only for an unexpected exception. A second SIGTERM or
    SIGINT ends the process at once, and so does the end of its time to stop.
    """
    configure_logging(form=settings.log_format, level=settings.log_level, process=os.environ.get(LABEL, name))
    allow_open_files()
    try:
        observing = Observing(name, settings)
        serve = functools.partial(_serve_of(name, observing), observe=observing.observe)
        gc.freeze()  # loaded modules stay; to traverse them in each collection stops everything for 0.1 s
        gc.set_threshold(10_000)  # objects; with Python's 700 some 4% of a deliverer's time is collections
        uvloop.run(_run(serve, beside_up(_with_broker(settings))))
    except SettingsError as error:
        for fault in error.faults:
            log.error("wrong setting", fault=fault)
        return Exit.USAGE
    except NrcError as error:
        log.error("cannot go on", reason=str(error))
        return exit_code(error)
    except Exception:
        log.exception("fault")
        return Exit.FAILED
    log.info("stopped")
    return Exit.OK


def _serve_of(name: str, observing: Observing) -> Serve:
    """The `serve` of a process; only the packages that it needs are loaded."""
    if name == "gateway":
        from extra.mounting import mount as mount_extra
        from gateway.service import serve as serve_gateway

        return functools.partial(
            serve_gateway, sock=_given_socket(LISTEN_FD), mounts=(mount_extra, *observing.mounts)
        )
    if name == "router":
        from ledger.losses import LedgerLosses
        from router.declaring.service import serve as serve_router

        return functools.partial(serve_router, losses_of=LedgerLosses)
    if name == "deliverer":
        from deliverer.service import serve as serve_deliverer

        return functools.partial(serve_deliverer, **observing.of_deliverer)
    if name == "console":
        from console.service import serve as serve_console

        return functools.partial(serve_console, sock=_given_socket(LISTEN_FD), say=click.echo)
    if name == "alerts":
        from alerting.service import serve as serve_alerts

        return serve_alerts
    if name == "ledger":
        from ledger.keeper.service import serve as serve_keeper

        return serve_keeper
    if name == "inbox":
        from inbox.service import serve as serve_inbox

        sock = _given_socket(LISTEN_FD)
        if sock is None:
            raise UsageError("the inbox is a part of `nrc up`, which starts it: NRC_INBOX_LISTEN says where")

        return functools.partial(serve_inbox, sock=sock)
    raise ValueError(name)


def _with_broker(settings: Settings) -> Settings:
    """The settings with the address of RabbitMQ: the one given, or that of a running `nrc up`."""
    if settings.amqp_url:
        return settings
    url = find_running(settings.state_dir)
    if url is None:
        raise BrokerUnavailable(
            f"NRC_AMQP_URL is not set and no `nrc up` runs RabbitMQ for {settings.state_dir.resolve()}"
        )
    return settings.model_copy(update={"amqp_url": (url,)})


async def _run(serve: Serve, settings: Settings) -> None:
    stop = asyncio.Event()

    def begin_stop() -> None:
        stop.set()
        _end_after(settings.stop_timeout + LAST_RESORT)

    _stop_on_signals(stop, begin_stop)
    async with _parent(begin_stop) as ready, Tasks() as tasks:
        tasks.start("looking for files left", tell_of_none_left())
        await serve(settings, stop=stop, ready=ready)


def _end_after(seconds: float) -> None:
    """End the process after that time, from a thread, so that a blocked event loop cannot prevent it."""

    def end() -> None:
        log.warning("did not stop in time: ending at once", seconds=seconds)
        os._exit(Exit.FAILED)

    last_resort = threading.Timer(seconds, end)
    last_resort.daemon = True
    last_resort.start()


def _stop_on_signals(stop: asyncio.Event, begin_stop: Callable[[], None]) -> None:
    def asked(number: signal.Signals) -> None:
        if stop.is_set():
            log.warning("told to stop again: ending at once", signal=number.name)
            os._exit(Exit.FAILED)
        log.info("stopping", signal=number.name)
        begin_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked, number)


@asynccontextmanager
async def _parent(begin_stop: Callable[[], None]) -> AsyncIterator[Callable[[], None]]:
    """Yields a function to call when ready; stops when the `nrc up` that started this process has died."""
    link = _given_socket(UP_FD)
    if link is None:
        yield lambda: log.info("ready")
        return
    link.setblocking(False)
    loop = asyncio.get_running_loop()

    async def watch() -> None:
        with suppress(ConnectionError):
            while await loop.sock_recv(link, 64):
                pass
        log.warning("`nrc up` is gone: stopping")
        begin_stop()

    def ready() -> None:
        log.info("ready")
        with suppress(OSError):
            link.send(READY)

    watching = asyncio.create_task(watch(), name="watching nrc up")
    try:
        yield ready
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        link.close()


def _given_socket(variable: str) -> socket.socket | None:
    """The socket that `nrc up` passed in this variable."""
    number: Any = os.environ.get(variable)
    if number is None:
        return None
    given = socket.socket(fileno=int(number))
    given.set_inheritable(False)
    return given
