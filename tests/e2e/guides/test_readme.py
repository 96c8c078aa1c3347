"""The README's first ten minutes, command by command, on ports and in a folder of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nrc.rabbitmq.private_node import free_port
from tests.e2e.running import NRC, environment, nrc, running

README = Path(__file__).parents[3] / "README.md"
ID = re.compile(r"accepted: ([0-9a-f-]{36})")


def blocks() -> list[str]:
    """The commands of that section, block by block."""
    section = README.read_text().partition("## The first ten minutes")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def place() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="nrc-test-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands use curl")
async def test_the_first_ten_minutes(place: Path, vhost: str) -> None:
    listen, callback = f"127.0.0.1:{free_port()}", str(free_port())
    env = environment(
        NRC_STATE_DIR=str(place / "var"),
        NRC_GATEWAY_LISTEN=listen,
        NRC_AMQP_URL=vhost,
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    )
    start, *rest = blocks()
    prepare, found, after = start.partition("make run\n")
    assert found, start
    assert not after, start

    async def shell(block: str) -> str:
        script = "set -eu\n" + block.replace("127.0.0.1:8000", listen).replace("9000", callback)
        async with running("sh", "-c", script, cwd=place, env=env) as run:
            assert await run.ends(within=60) == 0, f"{block}\n{run.out}\n{run.err}"
        return run.out

    await shell(prepare)
    async with running(*NRC, "up", cwd=place, env=env) as up:
        await up.says("Ctrl-C stops everything")

        before = rest.index("python3 callback.py\n")
        for block in rest[:before]:
            await shell(block)
        async with running("python3", "callback.py", cwd=place, env=env) as received:
            for block in rest[before + 1 :]:
                if "sleep" in block:
                    break
                out = await shell(block)
                if accepted := ID.search(out):
                    await received.says(accepted[1], within=10)
        *_, down, resend = rest
        # In place of the README's sleep.
        until = "until nrc undeliverable list --json | grep -q attempts; do sleep 0.2; done"
        down, slept = re.subn(r"^sleep \d+$", until, down, flags=re.MULTILINE)
        assert slept
        out = await shell(f'{down}\necho "accepted: $ID"')
        accepted = ID.search(out)
        assert accepted
        assert out.count("connection_refused") == 4, out

        async with running("python3", "callback.py", cwd=place, env=env) as received:
            await shell(f"ID={accepted[1]}\n{resend}")
            await received.says(accepted[1], within=10)
        left = await nrc("undeliverable", "list", "--json", env=env, cwd=place)
        assert json.loads(left.out) == []
