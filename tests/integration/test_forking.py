"""The process from which those of `nrc up` are forked: what these get, what is told of them, and its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.running import NRC, Running, environment, running
from tests.eventually import eventually

# What it forks is any command of `nrc`.
PROGRAM = """
import asyncio, os, signal, sys
from nrc import forking
from nrc.forking import CannotFork, Forker, forking as opened

async def work(forker: Forker) -> None:
    {work}

with opened() as forker:
    asyncio.run(work(forker))
"""


def ran(work: str, **env: str) -> list[str]:
    """The lines that this prints, beside a Forker, and what it forks prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM.format(work=work.strip().replace("\n", "\n    "))],
        env={**environment(**env), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_process_gets_variables_and_files_and_its_end_is_told() -> None:
    said = ran(
        """
read, write = os.pipe()
os.set_blocking(read, False)
forked = await forker.start("settings", {"NRC_LOG_LEVEL": "error", "_NRC_COMPLETE": ""}, [write])
print("code", await forked.wait(), forked.returncode)
os.close(write)
print("left open:", os.read(read, 1) != b"")
for name in ("version", "token", "unheard-of"):
    print(name, await (await forker.start(name, {}, [read])).wait())
try:
    forked.send_signal(signal.SIGKILL)
except ProcessLookupError:
    print("has ended")
""",
        NRC_STOP_TIMEOUT="17",
    )
    assert any("NRC_LOG_LEVEL" in line and "error" in line for line in said)
    assert any("NRC_STOP_TIMEOUT" in line and "17" in line for line in said), "it has ours too"
    last = said[said.index("code 0 0") :]
    assert [each for each in last if not re.fullmatch(r"[\d.a-z+]+", each)] == [
        "code 0 0",
        "left open: False",
        "version 0",
        "token 2",
        "unheard-of 2",
        "has ended",
    ]


def test_one_that_forks_no_more_is_noticed() -> None:
    said = ran(
        """
first = await forker.start("version", {}, [2])
await first.wait()
forking.LONGEST_WAIT = 0.5
os.kill(forker.pid, signal.SIGSTOP)
for _ in range(2):
    try:
        await forker.start("version", {}, [2])
    except CannotFork as error:
        print(error)
"""
    )
    assert said[-2:] == ["the process that forks has ended"] * 2


def test_what_nobody_waits_for_any_more_is_killed() -> None:
    """A wait for a fork is cancelled when `nrc up` is stopped while it starts."""
    said = ran(
        """
read, write = os.pipe()
asked = asyncio.create_task(forker.start("settings", {}, [write]))
await asyncio.sleep(0)
asked.cancel()
await asyncio.wait({asked})
os.close(write)
await asyncio.to_thread(os.read, read, 1)
print(asked.cancelled(), "nothing has it open")
"""
    )
    assert said[-1] == "True nothing has it open"


def test_nothing_of_ours_is_left_to_load() -> None:
    code = """
import sys
from importlib import import_module
from nrc.forking import PACKAGES
from nrc.processes import _serve_of
from runtime.settings import load_settings
from schemas.errors import UsageError
from telemetry.observing import Observing

settings = load_settings()
for packages in PACKAGES.values():
    for each in packages:
        import_module(each)
loaded = set(sys.modules)
for kind in PACKAGES:
    try:
        _serve_of(kind, Observing(kind, settings))
    except UsageError:
        assert kind == "inbox"
print(sorted(set(sys.modules) - loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def pids(up: Running) -> dict[str, int]:
    line = re.search(r"Processes +(.*)", up.out)
    assert line
    return {name: int(pid) for name, pid in re.findall(r"([a-z]+) (\d+)(?:,|$)", line[1])}


def parent(pid: int) -> int:
    return int(state(pid)[1])


def state(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def runs(pid: int) -> bool:
    try:
        return state(pid)[0] != "Z"  # of whom the one that forked it has been killed
    except FileNotFoundError:
        return False


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0")


async def test_nrc_up_goes_on_without_it(vhost: str, tmp_path: Path) -> None:
    env = environment(NRC_AMQP_URL=vhost, NRC_STATE_DIR=str(tmp_path), NRC_GATEWAY_LISTEN="127.0.0.1:0")
    async with running(*NRC, "up", "--no-demo", env=env, cwd=tmp_path) as up:
        await up.says("NRC ready: ")
        started = pids(up)
        forker = parent(started["router"])
        assert parent(forker) == up.process.pid
        assert {name: title(pid) for name, pid in started.items() if name != "up"} == {
            name: f"nrc {name}" for name in started if name != "up"
        }

        os.kill(started["ledger"], signal.SIGTERM)
        await up.logs("told to stop; starting it again name=ledger")
        os.kill(started["inbox"], signal.SIGKILL)
        await up.logs("started again                  name=inbox")
        assert re.search(r"a process died +again_in_s=0.5 how=SIGKILL name=inbox", up.err), up.err

        os.kill(forker, signal.SIGTERM)  # as a service manager sends it to all that there is
        os.kill(forker, signal.SIGKILL)
        await up.logs("the process that forks the others has ended")
        os.kill(started["deliverer"], signal.SIGKILL)
        await up.logs("started again                  name=deliverer")
        assert re.search(r"a process died +again_in_s=0.5 how='it is not known how' name=deliverer", up.err)
        assert "not forked: starting it as a program name=deliverer" in up.err
        await eventually(lambda: up.err.count("] ready ") >= 9, within=30)

        assert await up.stop() == 0
        assert "Traceback" not in up.err, up.err
        assert "killed" not in up.err, up.err
        assert not any(runs(pid) for pid in started.values())
