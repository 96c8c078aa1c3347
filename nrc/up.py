"""`nrc up`: starts, watches and stops RabbitMQ and every process.

Owns the order of starting and stopping, and what is printed about it on standard output; the log goes to
standard error. After a kill -9 of it nothing is lost: its processes stop by themselves, and the next `nrc up`
finds RabbitMQ still running.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress

import click
from yarl import URL

from nrc.demo import demo as show_main_job
from nrc.forking import Forker
from nrc.metrics_addresses import metrics_address
from nrc.page_sockets import bind_console, bind_inbox
from nrc.processes import LISTEN_FD
from nrc.rabbitmq.choice import Broker, choose_broker
from nrc.state_lock import only_up, shared_lock, told_loopback, told_where, wait_for_leftovers
from nrc.supervised_process import Child
from runtime.lifecycle import Tasks
from runtime.listening import bind, listen, reached_at
from runtime.log import configure_logging, logger
from runtime.open_files import allow_open_files
from runtime.settings import Settings, env_name
from schemas.errors import BrokerUnavailable
from store.opening import registry_place

LISTEN = env_name("gateway_listen")
GRACE = 4.0
"""Seconds beside NRC_STOP_TIMEOUT within which everything has stopped."""

log = logger(__name__)


def run_up(settings: Settings, *, demo: bool, forker: Forker | None) -> int:
    """Run everything until SIGINT, SIGTERM or SIGHUP; returns 0 when everything stopped in time.

    forker: forks the processes; without one they are started as programs.
    Raises NrcError, with everything stopped, for what prevents it from starting.
    """
    configure_logging(form=settings.log_format, level=settings.log_level, process="up")
    return asyncio.run(_until_asked(Up(settings, demo=demo, forker=forker)))


async def _until_asked(up: Up) -> int:
    running = asyncio.current_task()
    assert running is not None  # noqa: S101
    asked = False

    def stop(number: signal.Signals) -> None:
        nonlocal asked
        if asked:
            say("stopping at once")
            up.abort()
            os._exit(1)
        asked = True
        say(f"{number.name}: stopping; once more ends everything at once")
        if not up.stopping:
            up.begin_stop()
            running.cancel()

    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # nohup
        numbers.remove(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        await up.run()
    except asyncio.CancelledError:
        if not asked:
            raise
    say("stopped")
    return 0


def say(line: str) -> None:
    """Print a line and flush it; the reader may have gone."""
    with suppress(OSError):
        click.echo(line)


class Up:
    """Everything that one `nrc up` started."""

    def __init__(self, settings: Settings, *, demo: bool, forker: Forker | None) -> None:
        self._settings = settings
        self._forker = forker
        self._demo = demo
        self._broker: Broker | None = None
        self._router: list[Child] = []
        self._gateways: list[Child] = []
        self._deliverers: list[Child] = []
        self._keeper: list[Child] = []
        self._inbox: list[Child] = []
        self._console: list[Child] = []
        self._alerts: list[Child] = []
        self._stopping_since = 0.0

    @property
    def children(self) -> list[Child]:
        """Every process, in the order of starting."""
        return [
            *self._router,
            *self._gateways,
            *self._deliverers,
            *self._keeper,
            *self._inbox,
            *self._console,
            *self._alerts,
        ]

    async def run(self) -> None:
        """Start everything, and keep it running until cancelled. What was opened first is closed last."""
        if self._forker is None:
            log.info("processes cannot be forked here: they are started as programs")
        allow_open_files()  # also for RabbitMQ, which inherits it: each connection and queue needs a file
        settings = self._settings
        async with AsyncExitStack() as opened:
            opened.enter_context(only_up(settings.state_dir))
            lock = opened.enter_context(shared_lock(settings.state_dir))
            await wait_for_leftovers(lock, within=settings.stop_timeout + GRACE, note=say)
            opened.enter_context(told_loopback(settings.state_dir, is_open=loopback_open(settings)))
            sock = opened.enter_context(bind(settings.gateway_listen, name=LISTEN))
            inbox = bind_inbox(settings, loopback=loopback_open(settings), note=say)
            console = bind_console(settings, note=say)
            for pages in (inbox, console):
                if pages is not None:
                    opened.enter_context(pages)
            opened.push_async_callback(self._stop_broker)
            url, where = await self._get_broker()
            opened.push_async_callback(self._stop_children)
            tasks = await opened.enter_async_context(Tasks())
            if self._broker is not None:
                tasks.start("watching RabbitMQ", self._keep_broker(self._broker, url))
            await self._start_children(tasks, url, lock=lock, sock=sock, inbox=inbox, console=console)
            root = reached_at(sock.getsockname()[:2])
            opened.enter_context(told_where(settings.state_dir, str(root).rstrip("/")))
            self._tell(root, where, inbox, console)
            if self._demo:
                # Started last, so that it is cancelled, and removes what it made, before anything stops.
                tasks.start("demo", self._show(root))
            await tasks.run_until(asyncio.Event())

    async def _get_broker(self) -> tuple[str, str]:
        """(the AMQP URLs for the processes, a description)."""
        given = self._settings.amqp_url
        if given:
            where = ", ".join(str(URL(url).with_password(None)) for url in given)
            say(f"using RabbitMQ at {where} (NRC_AMQP_URL)")
            return ",".join(given), f"{where} (NRC_AMQP_URL; left alone when we stop)"
        self._broker = await choose_broker(self._settings.state_dir)
        began = time.monotonic()
        url = await self._broker.start(note=say)
        say(f"RabbitMQ is ready after {time.monotonic() - began:.1f} s")
        return url, f"{URL(url).with_password(None)} ({self._broker.described})"

    async def _start_children(
        self,
        tasks: Tasks,
        url: str,
        *,
        lock: int,
        sock: socket.socket,
        inbox: socket.socket | None,
        console: socket.socket | None,
    ) -> None:
        env = {
            "NRC_AMQP_URL": url,
            "NRC_STATE_DIR": str(self._settings.state_dir.resolve()),
            # NRC_HEALTH_LISTEN is one address, for several processes; `nrc up` watches these itself.
            "NRC_HEALTH_LISTEN": "",
            env_name("callback_allow_loopback"): str(loopback_open(self._settings)).lower(),
            env_name("callback_check_exempt_hosts"): ",".join(exempt_hosts(self._settings)),
        }
        say("starting the router, which declares in RabbitMQ what is needed")
        self._router = [self._child("router", "router", self._env_of(env, "router", 1), [lock])]
        await self._start(self._router, tasks)
        listen(sock, name=LISTEN)
        of_gateways = {**env, LISTEN_FD: str(sock.fileno())}
        self._gateways = [
            self._child("gateway", label, self._env_of(of_gateways, "gateway", number), [lock, sock.fileno()])
            for number, label in enumerate(labels("gateway", self._settings.gateway_processes), 1)
        ]
        self._deliverers = [
            self._child("deliverer", label, self._env_of(env, "deliverer", number), [lock])
            for number, label in enumerate(labels("deliverer", self._settings.deliverer_processes), 1)
        ]
        self._keeper = [self._child("ledger", "ledger", self._env_of(env, "ledger", 1), [lock])]
        self._inbox = self._with_pages("inbox", inbox, env, lock=lock)
        # These ask the gateway how it is.
        host, port = sock.getsockname()[:2]
        asking = {**env, env_name("gateway_listen"): f"[{host}]:{port}" if ":" in host else f"{host}:{port}"}
        self._console = self._with_pages("console", console, asking, lock=lock)
        at_console = self._settings.console_public_url or _root_of(console)
        of_alerts = self._env_of({**asking, env_name("console_public_url"): at_console}, "alerts", 1)
        self._alerts = [self._child("alerts", "alerts", of_alerts, [lock])]
        others = self.children[len(self._router) :]
        say(f"starting {', '.join(child.label for child in others)}")
        await self._start(others, tasks)

    def _with_pages(
        self, name: str, sock: socket.socket | None, env: Mapping[str, str], *, lock: int
    ) -> list[Child]:
        """A process with a socket of its own; none where there is no socket."""
        if sock is None:
            return []
        given = {**env, LISTEN_FD: str(sock.fileno())}
        return [self._child(name, name, self._env_of(given, name, 1), [lock, sock.fileno()])]

    def _child(self, name: str, label: str, env: Mapping[str, str], fds: Sequence[int]) -> Child:
        return Child(name, label, env=env, fds=fds, forker=self._forker)

    def _env_of(self, env: Mapping[str, str], process: str, number: int) -> dict[str, str]:
        """The environment of one process, with an address of its own for its metrics."""
        address = metrics_address(self._settings.metrics_listen, process, number)
        return {**env, env_name("metrics_listen"): address}

    async def _start(self, children: Sequence[Child], tasks: Tasks) -> None:
        """Start these and watch them; they are ready when this returns. Raises DidNotStart."""
        try:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.start())
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        for child in children:
            tasks.start(f"watching the {child.label}", child.keep_alive())

    def _tell(
        self, root: URL, where: str, inbox: socket.socket | None, console: socket.socket | None
    ) -> None:
        api = f"{self._settings.public_url or str(root).rstrip('/')}/api/v1"
        at = "" if inbox is None else f"  Inbox       {reached_at(inbox.getsockname()[:2]) / 'inbox/'}\n"
        processes = ", ".join(f"{child.label} {child.pid}" for child in self.children)
        say(
            f"\n  API         {api}\n"
            f"  Reference   {api}/schema/\n"
            f"{self._console_line(console)}"
            f"{at}"
            f"  RabbitMQ    {where}\n"
            f"  State       {self._settings.state_dir.resolve()}\n"
            f"  Registry    {registry_place(self._settings)}\n"
            f"  Processes   up {os.getpid()}, {processes}\n"
            f"{self._metrics()}"
            f"  Log         on standard error; NRC_LOG_LEVEL=debug says more\n"
        )
        say(f"NRC ready: {api}")

    def _metrics(self) -> str:
        """A line with the addresses for Prometheus, when there are any."""
        addresses = [
            f"{each.label} {address}"
            for each in self.children
            if (address := each.env[env_name("metrics_listen")])
        ]
        return f"  Metrics     {', '.join(addresses)}\n" if addresses else ""

    def _console_line(self, console: socket.socket | None) -> str:
        if console is None:
            return ""
        return f"  Console     {self._settings.console_public_url or _root_of(console)}/console/\n"

    async def _show(self, root: URL) -> None:
        say("")
        if await show_main_job(self._settings, root, say=say):
            say("The demo failed; `nrc up` goes on. Once it is mended: nrc demo")
        say("\nCtrl-C stops everything.")
        await asyncio.Event().wait()

    async def _keep_broker(self, broker: Broker, url: str) -> None:
        """Restart RabbitMQ whenever it dies. When it gets another port, restart all processes with that."""
        while True:
            await asyncio.sleep(0.5)
            if await broker.is_alive():
                continue
            log.warning("RabbitMQ died: starting it again")
            try:
                now_at = await broker.start(note=lambda line: log.info(line))
            except BrokerUnavailable as error:
                log.error("RabbitMQ does not start", reason=str(error), again_in_s=10)
                await asyncio.sleep(10)
                continue
            log.info("RabbitMQ is ready again")
            if now_at != url:
                url = now_at
                for child in self.children:
                    child.env["NRC_AMQP_URL"] = url
                    child.signal(signal.SIGTERM)

    @property
    def stopping(self) -> bool:
        """Whether it is being stopped, as asked or because of a fault."""
        return self._stopping_since > 0

    def begin_stop(self) -> None:
        """Start the time for stopping, unless it runs already."""
        self._stopping_since = self._stopping_since or time.monotonic()

    async def _stop_children(self) -> None:
        """Gateways first, so that nothing more comes in; then deliverers and keeper; last what these need."""
        self.begin_stop()
        timeout = self._settings.stop_timeout
        others = [*self._gateways, *self._deliverers, *self._keeper, *self._console, *self._alerts]
        for children, seconds in (
            (self._gateways, timeout * 0.3),
            (others, timeout + GRACE * 0.5),
            ([*self._router, *self._inbox], timeout + GRACE * 0.6),
        ):
            for child in children:
                child.terminate()
            until = self._stopping_since + seconds
            await self._gone(children, until=until, kill=children is not self._gateways)

    async def _gone(self, children: Sequence[Child], *, until: float, kill: bool) -> None:
        """Return when they have ended; at `until` kill those that are left."""
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.monotonic()):
                for child in children:
                    await child.gone()
        except TimeoutError:
            for child in children if kill else ():
                if child.pid:
                    log.warning("did not stop in time and is killed", name=child.label)
                    child.terminate(signal.SIGKILL)
                    await child.gone()

    async def _stop_broker(self) -> None:
        self.begin_stop()
        if self._broker is not None:
            until = self._stopping_since + self._settings.stop_timeout + GRACE * 0.9
            await self._broker.stop(within=max(until - time.monotonic(), 1.0))

    def abort(self) -> None:
        """Kill every process, without waiting. RabbitMQ is only told to stop: it may be writing."""
        for child in self.children:
            child.terminate(signal.SIGKILL)
        if self._broker is not None:
            self._broker.terminate()


def _root_of(pages: socket.socket | None) -> str:
    """The root URL of the process with this socket; "" where there is none."""
    return "" if pages is None else str(reached_at(pages.getsockname()[:2])).rstrip("/")


def loopback_open(settings: Settings) -> bool:
    """Whether callbacks on this machine are allowed: by default, for trying it out, unless it is set."""
    return settings.callback_allow_loopback or "callback_allow_loopback" not in settings.model_fields_set


def exempt_hosts(settings: Settings) -> tuple[str, ...]:
    """Hosts that need not refuse in the callback check: those for trying it out, unless it is set."""
    if "callback_check_exempt_hosts" in settings.model_fields_set:
        return settings.callback_check_exempt_hosts
    return ("webhook.site",)


def labels(name: str, count: int) -> list[str]:
    """The labels of the processes of one kind."""
    return [name] if count == 1 else [f"{name} {number}" for number in range(1, count + 1)]
