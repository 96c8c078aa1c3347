"""Allows one `nrc up` per state folder, and none while processes of an earlier one still run.

Owns the two lock files in the state folder. The kernel releases their locks when the processes end: up.lock
is held by `nrc up` alone, processes.lock also by every process that it starts. Other modules may lock files
in the same way (`held`). Owns also what `nrc up` writes there for other commands: the address of its gateway,
and whether loopback is allowed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.settings import Settings
from schemas.errors import UsageError
from store.files.durable import make_folder


@contextmanager
def only_up(state_dir: Path) -> Iterator[None]:
    """No other `nrc up` uses this state folder while the context is open. Raises UsageError with its pid."""
    file = _open(state_dir / "up.lock")
    try:
        if not _lock(file):
            pid = os.read(file, 20).decode(errors="replace").strip()
            raise UsageError(f"`nrc up` already runs on {state_dir.resolve()} (pid {pid or 'unknown'})")
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(file)


@contextmanager
def shared_lock(state_dir: Path) -> Iterator[int]:
    """The file that processes inherit, so that the lock is held until the last of them has ended."""
    file = _open(state_dir / "processes.lock")
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def told_loopback(state_dir: Path, *, is_open: bool) -> Iterator[None]:
    """Let processes that are started by hand send to loopback addresses, or not, as those of `nrc up`."""
    file = state_dir / "loopback.open"
    file.unlink(missing_ok=True)
    if is_open:
        file.touch()
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def loopback_is_open(state_dir: Path) -> bool:
    """Whether an `nrc up` runs on this state folder, and its processes send to loopback addresses."""
    # What is left of a killed one is no answer.
    return (state_dir / "loopback.open").exists() and is_held(state_dir / "up.lock")


def beside_up(settings: Settings) -> Settings:
    """The settings, with loopback allowed as in a running `nrc up`, unless it is set here.

    Else a deliverer started by hand would refuse, and so delay, what the others deliver, and a command would
    refuse a callback that the gateway takes.
    """
    if "callback_allow_loopback" in settings.model_fields_set or not loopback_is_open(settings.state_dir):
        return settings
    return settings.model_copy(update={"callback_allow_loopback": True})


@contextmanager
def held(file: Path) -> Iterator[None]:
    """The lock of this file is held while the context is open, or until this process ends, however it does.

    The file goes with it, but for that of a process that is killed. Raises UsageError where it can't be made.
    """
    descriptor = _open(file)
    try:
        _lock(descriptor)
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def is_held(file: Path) -> bool:
    """Whether a process that lives holds the lock of this file."""
    if not file.exists():
        return False
    try:
        descriptor = _open(file)
    except UsageError:
        return False
    try:
        # A shared lock, so that two readers do not block each other.
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


@contextmanager
def told_where(state_dir: Path, root: str) -> Iterator[None]:
    """Let commands find the gateway of this `nrc up` while the context is open."""
    file = state_dir / "gateway.url"
    file.write_text(root + "\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def running_gateway(state_dir: Path) -> str | None:
    """The root of the gateway of the `nrc up` on this state folder; None when unknown."""
    try:
        return (state_dir / "gateway.url").read_text().strip() or None
    except OSError:
        return None


async def wait_for_leftovers(file: int, *, within: float, note: Callable[[str], None]) -> None:
    """Return once no process of an earlier run is left. They stop by themselves when `nrc up` has died.

    file: from `shared_lock`. within: seconds. Raises UsageError.
    """
    deadline = time.monotonic() + within
    told = False
    while not _lock(file):
        if time.monotonic() > deadline:
            raise UsageError(
                "processes of an earlier `nrc up` on this state folder do not stop; end them first"
            )
        if not told:
            note(f"processes of an earlier run are still stopping; waiting for them, at most {within:.0f} s")
            told = True
        await asyncio.sleep(0.1)


def _open(file: Path) -> int:
    try:
        make_folder(file.parent)
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"NRC_STATE_DIR: {file.parent.resolve()}: {error.strerror or error}") from None


def _lock(file: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
