"""Files that cannot be written: the registry's, those of all processes, and those needed at a start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.clients import load
from tests.chaos.faults.files import as_nobody_special, disk_alarm, locked, no_file_grows
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario

CANNOT_GO_ON = (1, 3)
"""Exit codes of a process that says why it ends: 3 for the registry or RabbitMQ, 1 for all else."""


async def _change_is_refused(run: Run) -> None:
    """A new abonnement gets 503, and not after a time in which its client has given up."""
    body = {"callbackUrl": run.consumer.url(run.path("none")), "auth": "Token chaos"}
    async with run.system.api() as session:
        asked = {**body, "kanalen": list(load.NOTHING.kanalen)}
        async with asyncio.timeout(15), session.post("abonnement", json=asked) as answer:
            if answer.status != 503:
                run.problems.append(f"POST abonnement was answered with {answer.status}, not 503")


async def registry_locked(run: Run) -> None:
    async with run.fault(), locked(run.system.folder / "registry.db"):
        await run.more(1000)
        await _change_is_refused(run)
        await run.lasting(14)
    await run.more(1000)
    await run.subscribe("afterwards", load.ONE_ZAAKTYPE)


async def nothing_grows(run: Run) -> None:
    for _ in range(2):
        async with run.fault():
            with no_file_grows(process.pid for process in run.system.processes.values()):
                await run.more(900)
                await _change_is_refused(run)
        await run.more(500)
    await run.subscribe("afterwards", load.ONE_ZAAKTYPE)


async def broker_disk_alarm(run: Run) -> None:
    for _ in range(2):
        async with run.fault(), disk_alarm(run.system.broker.control):
            await run.lasting(4)
        await run.more(1000)


async def broker_cannot_write(run: Run) -> None:
    """A full disk under RabbitMQ, which no alarm foresaw."""
    broker = run.system.broker
    run.system.in_flight("RabbitMQ could not write", *run.system.deliverers)
    async with run.fault():
        with no_file_grows([_pid(broker.private.folder)]):
            await run.lasting(5)
        # Whether it died or is only confused: it is restarted, as whoever made room would do.
        await run.system.stop_broker()
    await broker.start()
    await run.more(2000)


def _pid(folder: Path) -> int:
    return int((folder / "rabbitmq.pid").read_text())


@contextmanager
def _mode(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


@contextmanager
def _folder_in_place_of(path: Path) -> Iterator[None]:
    kept = path.with_name(path.name + ".kept")
    path.rename(kept)
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        kept.rename(path)


async def unwritable_at_start(run: Run) -> None:
    """One process of each kind is stopped, and cannot start as long as a file is not as it should be."""
    keys = run.system.folder / "secret.keys"
    for name in ("gateway 1", "deliverer 1", "router"):
        async with run.fault():
            await run.system.term(name)
            with _mode(run.system.folder / "registry.db", 0o400):
                await _ends_with_one_line(run, name, "access", unprivileged=True)
            if name == "gateway 1":
                with _mode(keys, 0o000):
                    await _ends_with_one_line(run, name, keys.name, unprivileged=True)
                with _folder_in_place_of(keys):
                    await _ends_with_one_line(run, name, keys.name)
        await run.system.start(name)
        await run.more(500)


async def _ends_with_one_line(run: Run, name: str, word: str, *, unprivileged: bool = False) -> None:
    """Started, it ends by itself, and the last line of its log is an error that has this word."""
    process = run.system.processes[name]
    process.prefix = as_nobody_special() if unprivileged else []
    before = process.log.stat().st_size
    await process.start()
    try:
        code = await process.ended(within=20)
    except TimeoutError:
        await run.system.kill(name)
        run.problems.append(f"{name} went on with a {word} that it cannot use")
        return
    finally:
        process.prefix = []
    told = [line for line in process.log.read_text()[before:].splitlines() if '"level":"error"' in line]
    if code not in CANNOT_GO_ON or len(told) != 1 or word not in told[0]:
        run.problems.append(f"{name} ended with exit code {code} and told {told}, not one line of {word}")


SCENARIOS = (
    Scenario(
        "registry locked",
        "Another process holds a lock on the registry for 20 s. Notificaties are accepted and delivered all "
        "the while; an abonnement gets 503.",
        registry_locked,
        no_errors=True,
    ),
    Scenario(
        "no file grows",
        "No process of NRC can write to any file any more, registry, ledger and log included, twice "
        "(RLIMIT_FSIZE, as on a full disk). Notificaties are accepted and delivered all the while; an "
        "abonnement gets 503.",
        nothing_grows,
        no_errors=True,
    ),
    Scenario(
        "RabbitMQ's disk alarm",
        "RabbitMQ finds too little disk free and blocks publishers for some seconds, twice.",
        broker_disk_alarm,
    ),
    Scenario(
        "RabbitMQ cannot write",
        "No file of RabbitMQ grows for five seconds (RLIMIT_FSIZE); then it is restarted.",
        broker_cannot_write,
    ),
    Scenario(
        "state cannot be used at start",
        "A gateway, a deliverer and the router are stopped in turn and started while the registry cannot be "
        "written, the gateway also while the keys cannot be read or a folder is in their place: each ends "
        "with one line that says so. Then they are started again.",
        unwritable_at_start,
    ),
)
