"""An upgrade and the way back, step by step, on a system that runs.

Each process gets a successor of the other version, with the same settings and the same listening socket. It
is ready before the first one is told to stop, so both versions are at work for a while at each step.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.chaos.clients import load
from tests.chaos.process import ROOT, Process
from tests.chaos.run import Run
from tests.chaos.system import PREFETCH

ORDER = ("router", "ledger", "deliverer", "gateway")
"""The kinds, in the order in which they are upgraded; the way back is the other way."""
BETWEEN = 300
"""Notificaties that are accepted between two steps."""
LOST = "lost its connection"


def say(text: str) -> None:
    """A line of progress, at once."""
    print(f"    {text}", file=sys.stderr, flush=True)


async def there_and_back(run: Run, earlier: Path) -> None:
    """Migrate beside the earlier version, replace its processes kind by kind, and put them all back."""
    await run.more(BETWEEN)
    if "NRC_DATABASE_URL" not in run.system.processes["router"].env:
        said = await run.system.nrc("backup", str(run.system.folder / "backup"))
        say(f"nrc backup of the earlier version: {said.strip()}")
    said = await run.system.nrc("migrate", root=ROOT)
    say(f"nrc migrate of this version, beside the processes of the earlier one: {said.strip()}")
    await run.more(BETWEEN)
    await run.subscribe("made-after-migrate", load.EVERYTHING)
    await restart_earlier(run, "deliverer 2")
    await run.more(BETWEEN)
    for kind in ORDER:
        await replace(run, kind, ROOT, suffix=" new")
    said = await run.system.nrc("reconcile", root=ROOT)
    say(f"nrc reconcile: {said.strip()}")
    for kind in reversed(ORDER):
        await replace(run, kind, earlier, suffix=" back")
    for name in run.system.deliverers:
        note_losses(run, run.system.processes[name])


async def restart_earlier(run: Run, name: str) -> None:
    """A process of the earlier version is restarted on tables that are newer than it is."""
    await run.system.term(name)
    await run.system.start(name)
    say(f"{name} of the earlier version restarted on the new tables")


def note_losses(run: Run, deliverer: Process) -> None:
    """Note how often it lost a channel: RabbitMQ delivers again what was in flight on that."""
    lost = deliverer.log.read_bytes().count(
        b'"event":"channel closed; its queues will be consumed on another"'
    )
    if lost:
        run.may_repeat(f"{deliverer.name} {LOST}", lost * PREFETCH * run.system.queues)


async def replace(run: Run, kind: str, root: Path, *, suffix: str) -> None:
    """Both versions of this kind beside each other, and then the one whose code is in `root` alone."""
    system = run.system
    before = [process for process in system.processes.values() if process.kind == kind]
    for process in before:
        name = process.name.removesuffix(" new") + suffix
        log = process.log.with_name(f"{name.replace(' ', '-')}.log")
        system.processes[name] = Process(kind, name, env=process.env, fds=process.fds, log=log, root=root)
        await system.start(name)
    await run.more(BETWEEN)
    await run.subscribe(f"made-beside-{kind}-{suffix.strip()}", load.slice_of(1, ORDER.index(kind) % 3))
    for process in before:
        await system.term(process.name)
        run.system.read_logs()  # before the process is forgotten
        if kind == "deliverer":
            note_losses(run, process)
        del system.processes[process.name]
    await run.more(BETWEEN)
    say(f"{kind}: alone{suffix}; {len(run.publisher.errors)} errors of publishers so far")
