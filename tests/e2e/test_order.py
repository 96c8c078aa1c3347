"""The order in which `nrc up` starts and stops things, seen from outside: sockets, processes, lines."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from nrc.rabbitmq.private_node import free_port
from tests.e2e.running import NRC, Running, environment, running
from tests.eventually import eventually
from tests.stallable import stallable


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


def children(up: Running) -> list[str]:
    """What `nrc up` runs now, in the order in which it was started."""
    (forker,) = children_of(up.process.pid)
    found = {pid: Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0") for pid in children_of(forker)}
    return [found[pid].removeprefix("nrc ") for pid in sorted(found)]


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def place_of(line: str, text: str) -> int:
    """Where the first line of the log that matches stands."""
    for number, each in enumerate(text.splitlines()):
        if re.search(line, each):
            return number
    raise AssertionError(f"no line {line!r} in\n{text}")


async def test_router_first_then_the_socket_then_the_others_and_back(vhost: str, tmp_path: Path) -> None:
    port = free_port()
    async with stallable(vhost) as (url, flowing):
        flowing.clear()
        env = environment(
            NRC_AMQP_URL=url, NRC_STATE_DIR=str(tmp_path), NRC_GATEWAY_LISTEN=f"127.0.0.1:{port}"
        )
        async with running(*NRC, "up", "--no-demo", env=env, cwd=tmp_path) as up:
            await up.says("starting the router")
            await eventually(lambda: (tmp_path / "registry.db").exists(), within=30)

            # The router can't be ready, so nobody is let in.
            assert children(up) == ["router"]
            assert not await listens(port)

            flowing.set()
            await up.says("NRC ready: ")
            assert sorted(children(up)) == ["alerts", "deliverer", "gateway", "inbox", "ledger", "router"]
            assert children(up)[0] == "router"
            assert await listens(port)
            ready = [place_of(rf"\] ready +process={name}", up.err) for name in ("router", "gateway")]
            assert ready == sorted(ready)
            assert place_of(r"\] ready +process=router", up.err) < place_of("process=deliverer", up.err)

            assert await up.stop() == 0
            in_order = [
                place_of(line, up.err)
                for line in (
                    r"\] stopping +process=gateway",
                    r"\] stopped +process=gateway",
                    r"\] stopping +process=deliverer",
                    r"\] stopped +process=deliverer",
                    r"\] stopping +process=router",
                    r"\] stopped +process=router",
                )
            ]
            assert in_order == sorted(in_order)
            assert not await listens(port)
            # Nobody missed RabbitMQ, or another process, on the way down.
            assert not re.search(r"\[(warning|error) ", up.err[up.err.index("] stopping ") :]), up.err
