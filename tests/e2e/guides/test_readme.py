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
from typing import Any

import pytest

from nrc.rabbitmq.private_node import free_port
from tests.e2e.running import NRC, environment, nrc, running
from tests.eventually import eventually

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
    listen, inbox = (f"127.0.0.1:{free_port()}" for _ in range(2))
    env = environment(
        NRC_STATE_DIR=str(place / "var"),
        NRC_GATEWAY_LISTEN=listen,
        NRC_INBOX_LISTEN=inbox,
        NRC_AMQP_URL=vhost,
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    )
    start, *rest = blocks()
    prepare, found, after = start.partition("make run\n")
    assert found, start
    assert not after, start
    variables = place / "variables"
    variables.touch()

    async def shell(block: str) -> str:
        """What a block prints, in the one terminal of the reader: what it sets, the next ones have."""
        block = block.replace("127.0.0.1:8000", listen).replace("127.0.0.1:8011", inbox)
        keep = f"""printf "INBOX='%s' ID='%s'" "${{INBOX-}}" "${{ID-}}" > '{variables}'"""
        script = f"set -eu\n. '{variables}'\n{block}\n{keep}"
        async with running("sh", "-c", script, cwd=place, env=env) as run:
            assert await run.ends(within=60) == 0, f"{block}\n{run.out}\n{run.err}"
        return run.out

    async def came_in(number: str = "") -> list[dict[str, Any]]:
        """What the inbox has, of this notificatie or all, as the README asks it."""
        found = json.loads(await shell('curl -s "$INBOX/requests"'))["requests"]
        return [each for each in found if number in (each["webhookId"], "")]

    await shell(prepare)
    async with running(*NRC, "up", cwd=place, env=env) as up:
        await up.says("Ctrl-C stops everything")
        assert f"http://{inbox}/inbox/\n" in up.out

        *before, down, resend = rest
        out = [await shell(block) for block in before]
        [accepted] = [match[1] for each in out if (match := ID.search(each))]

        async def delivered() -> bool:
            return len(await came_in(accepted)) == 1

        await eventually(delivered)
        first, second, third = await came_in()
        assert [each["answer"]["status"] for each in (first, second, third)] == [401, 204, 204]
        assert first["check"]
        assert second["check"]
        assert json.loads(third["body"]) == json.loads((place / "notificatie.json").read_text())

        # In place of the README's sleep.
        until = "until nrc undeliverable list --json | grep -q attempts; do sleep 0.2; done"
        down, slept = re.subn(r"^sleep \d+$", until, down, flags=re.MULTILINE)
        assert slept
        assert (await shell(down)).count("503") >= 4
        number = (await shell('echo "$ID"')).strip()
        four = await came_in(number)
        assert [each["answer"]["status"] for each in four] == [503] * 4
        assert [len(each["earlier"]) for each in four] == [0, 1, 2, 3]

        await shell(resend)

        async def arrived() -> bool:
            return [each["answer"]["status"] for each in await came_in(number)] == [503] * 4 + [204]

        await eventually(arrived)
        left = await nrc("undeliverable", "list", "--json", env=env, cwd=place)
        assert json.loads(left.out) == []
