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

from nrc.private_node import free_port
from tests.e2e.running import NRC, environment, nrc, running
from tests.eventually import eventually

README = Path(__file__).parents[2] / "README.md"
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
    assert start.strip().endswith(" make run"), start
    variables = dict(word.split("=", 1) for word in start.split() if "=" in word)

    async def shell(block: str) -> str:
        script = "set -eu\n" + block.replace("127.0.0.1:8000", listen).replace("9000", callback)
        async with running("sh", "-c", script, cwd=place, env=env) as run:
            assert await run.ends(within=60) == 0, f"{block}\n{run.out}\n{run.err}"
        return run.out

    async def undeliverable() -> list[dict[str, object]]:
        listed = await nrc("undeliverable", "list", "--json", env=env, cwd=place)
        found: list[dict[str, object]] = json.loads(listed.out)
        return found

    async with running(*NRC, "up", cwd=place, env=env | variables) as up:
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
        accepted = ID.search(await shell(re.sub(r"^sleep .*\n", "", down, flags=re.MULTILINE)))
        assert accepted
        found = await eventually(undeliverable, within=60)
        assert [(each["id"], each["attempts"]) for each in found] == [(accepted[1], 4)]

        async with running("python3", "callback.py", cwd=place, env=env) as received:
            await shell(resend)
            await received.says(accepted[1], within=10)
        assert await undeliverable() == []
