"""The RabbitMQ of the tests: a real one of their own, with an empty virtual host for each that asks.

Where it comes from, in this order: `NRC_TEST_AMQP_URL` (with `NRC_TEST_MANAGEMENT_URL`, its management API
with user and password, to make virtual hosts); a private node in a temporary folder, made by the code that
`nrc up` uses (`NRC_TEST_RABBITMQ_SERVER` is another start script for it, of another version); a container
through testcontainers. Several test runs on one machine do not affect each other.

A test that wants an empty broker takes `await broker.fresh_vhost()` (measured: 12 ms on the private node, by
an Erlang process that stays connected to it; rabbitmqctl takes a second), or the fixture `vhost`, which also
removes it. Nothing needs purging.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol

import aiohttp
from yarl import URL

from nrc.rabbitmq import private_node
from nrc.rabbitmq.private_broker import PrivateBroker
from nrc.rabbitmq.private_node import Node, server_script
from nrc.rabbitmq.shield_policy import SET_POLICY

if _script := os.environ.get("NRC_TEST_RABBITMQ_SERVER"):
    private_node._SCRIPTS = (_script,)

_LOOP = """
Loop = fun Loop() ->
  case io:get_line("") of
    eof -> halt();
    Line ->
      {ok, Tokens, _} = erl_scan:string(Line),
      {ok, Expressions} = erl_parse:parse_exprs(Tokens),
      Answer = rpc:call('NODE', erl_eval, exprs, [Expressions, []]),
      io:format("~0tp~n", [case Answer of {value, Value, _} -> {ok, Value}; Else -> {error, Else} end]),
      Loop()
  end
end,
Loop().
"""

# RabbitMQ looks for its attributes in each module of each application that is loaded, and so loads them all.
# Those of Erlang's own have none: without a list of modules each is loaded when it is used.
_LOAD = """
lists:foreach(fun(App) ->
  case file:consult(code:where_is_file(atom_to_list(App) ++ ".app")) of
    {ok, [{application, App, Keys}]} ->
      application:load({application, App, lists:keystore(modules, 1, Keys, {modules, []})});
    _ -> none
  end
end, [inets, ssl, public_key, asn1, compiler, syntax_tools, xmerl, tools, runtime_tools]).
"""


class Control(Protocol):
    """What tests do to a broker beside AMQP."""

    async def add_vhost(self, name: str) -> None: ...

    async def remove_vhost(self, name: str) -> None: ...


class ErlangControl:
    """A hidden Erlang node beside a private one, which evaluates expressions in it within milliseconds.

    inside, address: of the host where it runs, as the node does; by default this process's, and loopback.
    """

    def __init__(self, broker: PrivateBroker, *, inside: Sequence[str] = (), address: str = "") -> None:
        self._broker = broker
        self._inside = inside
        self._address = address
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def eval(self, expressions: str) -> str:
        """The value of Erlang expressions (`a(), b().`) in the broker, as Erlang prints it on one line."""
        async with self._lock:
            if self._process is None or self._process.returncode is not None:
                self._process = await self._start()
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.write((" ".join(expressions.split()) + "\n").encode())
            answer = (await asyncio.wait_for(self._process.stdout.readline(), 30)).decode().strip()
        if not answer.startswith("{ok,"):
            raise RuntimeError(f"{expressions} gave {answer or 'nothing'}")
        return answer[4:-1]

    async def _start(self) -> asyncio.subprocess.Process:
        folder = self._broker.folder
        node = self._broker.node.name
        names, at = ("-name", self._address) if self._address else ("-sname", "localhost")
        interface = (self._address or "127.0.0.1").replace(".", ",")
        return await asyncio.create_subprocess_exec(
            *self._inside, "erl", "-noshell", "-hidden", names, f"nrc-test-{secrets.token_hex(4)}@{at}",
            "-kernel", "inet_dist_use_interface", f"{{{interface}}}",
            "-eval", _LOOP.replace("NODE", node),
            cwd=folder,
            env={"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def close(self) -> None:
        """The Erlang process has ended."""
        async with self._lock:
            if self._process is not None and self._process.returncode is None:
                assert self._process.stdin
                self._process.stdin.close()
                await self._process.wait()

    async def add_vhost(self, name: str) -> None:
        await self.eval(
            f'ok = rabbit_vhost:add(<<"{name}">>, <<"test">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"{self._broker.node.user}">>, <<"{name}">>, '
            '<<".*">>, <<".*">>, <<".*">>, <<"test">>).'
        )

    async def remove_vhost(self, name: str) -> None:
        await self.eval(f'rabbit_vhost:delete(<<"{name}">>, <<"test">>).')


class QuickNode(PrivateBroker):
    """The same node without what only its owner waits for: rabbitmqctl (a second of a core) and a sync.

    The policy that keeps others off stands all the same. `control` is to be closed at the end. inside: the
    words in front of a command that is to run where the node does.

    Erlang's threads run on any core. RabbitMQ's own setting ties the first one, which does most of a start,
    to the machine's first core, and those of all nodes with it.
    """

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self.inside: Sequence[str] = ()
        self.control = ErlangControl(self)

    async def start(self, *, note: Callable[[str], None] = lambda line: None) -> str:
        return await self._start(note)

    async def serve_management(self, port: int) -> str:
        """Have RabbitMQ's HTTP API at this port, until the node ends; its URL with user and password."""
        enabled = self.folder / "enabled_plugins"
        enabled.write_text("[rabbitmq_management].\n")
        listener = f'[{{port, {port}}}, {{ip, "127.0.0.1"}}]'
        await self.control.eval(
            "application:load(rabbitmq_management), "
            f"application:set_env(rabbitmq_management, tcp_config, {listener}), "
            f'rabbit_plugins:ensure("{enabled}").'
        )
        return f"http://{self.node.user}:{self.node.password}@127.0.0.1:{port}"

    def _command(self, script: Path, node: Node) -> list[str]:
        quicker = ["RABBITMQ_SCHEDULER_BIND_TYPE=u", f"ERL_AFLAGS=-eval '{' '.join(_LOAD.split())}'"]
        return ["env", *quicker, *super()._command(script, node)]

    async def _control(self, script: Path, node: Node, arguments: list[str]) -> str:
        assert arguments == ["-n", node.name, *SET_POLICY]
        *_, priority, _, apply_to, name, pattern, definition = SET_POLICY
        words = ", ".join(
            f"<<{json.dumps(word)}>>" for word in (name, pattern, definition, priority, apply_to, "test")
        )
        # Its connection may be to a node that was killed.
        await self.control.close()
        await self.control.eval(f'ok = rabbit_policy:parse_set(<<"/">>, {words}).')
        return ""

    async def command(self, name: str, *words: str) -> str:
        """What one of RabbitMQ's own commands, such as rabbitmq-queues, prints. Raises RuntimeError."""
        script = server_script()
        assert script is not None
        longnames = ["--longnames"] if self.inside else []
        process = await asyncio.create_subprocess_exec(
            *(*self.inside, str(script.with_name(name)), "-n", self.node.name, *longnames, *words),
            cwd=self.folder,
            env=self.node.environment(self.folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{name} {' '.join(words)}: {said.decode()}")
        return said.decode()


class ManagementControl:
    """The same through RabbitMQ's management API, for a broker that is not ours."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = URL(url)
        credentials = f"{parts.user}:{parts.password}".encode()
        self._user = parts.user
        self._root = parts.with_user(None).with_password(None)
        self._headers = {"Authorization": "Basic " + base64.b64encode(credentials).decode()}

    async def _call(self, method: str, path: str, json: object = None) -> None:
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.request(method, self._root / "api" / path, json=json, raise_for_status=True),
        ):
            pass

    async def close(self) -> None:
        """Nothing is held."""

    async def add_vhost(self, name: str) -> None:
        await self._call("PUT", f"vhosts/{name}", {})
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        await self._call("PUT", f"permissions/{name}/{self._user}", rights)

    async def remove_vhost(self, name: str) -> None:
        await self._call("DELETE", f"vhosts/{name}")


class Broker:
    """A running RabbitMQ. `private` is the node itself when it is ours: to be asked things, not killed."""

    def __init__(
        self,
        url: str,
        control: ErlangControl | ManagementControl | None,
        private: PrivateBroker | None = None,
    ) -> None:
        self.url = url
        self.control = control
        self.private = private
        self._vhosts: list[str] = []

    async def fresh_vhost(self) -> str:
        """The URL of an empty virtual host that nobody else uses."""
        if self.control is None:
            raise RuntimeError(
                "set NRC_TEST_MANAGEMENT_URL (http://user:password@host:15672) beside NRC_TEST_AMQP_URL"
            )
        name = f"test-{secrets.token_hex(6)}"
        await self.control.add_vhost(name)
        self._vhosts.append(name)
        return str(URL(self.url).with_path("/" + name))

    async def eval(self, expressions: str) -> str:
        """Evaluate Erlang in the broker (only a private node can)."""
        if not isinstance(self.control, ErlangControl):
            raise RuntimeError("only a private node evaluates Erlang; leave NRC_TEST_AMQP_URL out")
        return await self.control.eval(expressions)

    @contextlib.asynccontextmanager
    async def management(self) -> AsyncIterator[str]:
        """RabbitMQ's HTTP API, as a URL with user and password; of a private node only meanwhile."""
        if isinstance(self.control, ManagementControl):
            yield self.control.url
            return
        assert isinstance(self.private, QuickNode)
        url = await self.private.serve_management(private_node.free_port())
        try:
            yield url
        finally:
            enabled = self.private.folder / "enabled_plugins"
            enabled.write_text("[].\n")
            await self.eval(f'rabbit_plugins:ensure("{enabled}").')

    async def set_max_message_size(self, size: int) -> int:
        """RabbitMQ's limit, in bytes, for every channel that is opened from now on; what it was before."""
        # RabbitMQ 3.10 reads the setting for each channel, and 4 what it kept of it at its start.
        before = await self.eval(
            "{ok, Before} = application:get_env(rabbit, max_message_size), "
            f"ok = application:set_env(rabbit, max_message_size, {size}), "
            f"ok = persistent_term:put(max_message_size, {size}), Before."
        )
        return int(before)

    async def remove_vhost(self, url: str) -> None:
        """A virtual host that `fresh_vhost` gave is gone, and every connection to it."""
        assert self.control
        name = URL(url).path.removeprefix("/")
        self._vhosts.remove(name)
        await self.control.remove_vhost(name)

    async def close(self) -> None:
        """Every virtual host that was made is gone."""
        if self.control is not None:
            for name in self._vhosts:
                await self.control.remove_vhost(name)
            await self.control.close()


@contextlib.asynccontextmanager
async def private_broker() -> AsyncIterator[Broker]:
    """A private node in a temporary folder, killed and removed at the end."""
    # Not pytest's tmp_path: it keeps the folders of the last three sessions, and a node's take space.
    folder = Path(tempfile.mkdtemp(prefix="nrc-test-"))
    node = QuickNode(folder)
    try:
        yield Broker(await node.start(), node.control, node)
    finally:
        await node.control.close()
        await node.kill()
        shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def any_broker() -> AsyncIterator[Broker]:
    """The broker of this test session."""
    if url := os.environ.get("NRC_TEST_AMQP_URL"):
        management = os.environ.get("NRC_TEST_MANAGEMENT_URL")
        broker = Broker(url, ManagementControl(management) if management else None)
        try:
            yield broker
        finally:
            await broker.close()
    elif server_script():
        async with private_broker() as broker:
            yield broker
    else:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        image = DockerContainer("rabbitmq:4.3-management").with_exposed_ports(5672, 15672)
        with image.waiting_for(LogMessageWaitStrategy("Server startup complete")) as container:
            at = container.get_container_host_ip()
            broker = Broker(
                f"amqp://guest:guest@{at}:{container.get_exposed_port(5672)}/",
                ManagementControl(f"http://guest:guest@{at}:{container.get_exposed_port(15672)}"),
            )
            yield broker
