"""The limit on open files, and errors that say that it was reached."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket

import aiohappyeyeballs
import pytest
from structlog.testing import capture_logs

from runtime.lifecycle import cancelled
from runtime.open_files import ENOUGH, allow_open_files, is_shortage, tell_of_none_left
from tests.eventually import eventually
from tests.open_files import no_more_files

NO_LIMIT = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "least", "allowed", "soft"),
    [
        ((1024, 1024), ENOUGH, 1024, 1024),
        ((1024, 4096), ENOUGH, 4096, 4096),
        ((1024, 2 * ENOUGH), ENOUGH, ENOUGH, ENOUGH),
        ((1024, 2 * ENOUGH), ENOUGH + 10, ENOUGH + 10, ENOUGH + 10),
        ((1024, NO_LIMIT), 10, ENOUGH, ENOUGH),
        ((2 * ENOUGH, NO_LIMIT), 10, 2 * ENOUGH, 2 * ENOUGH),
        ((NO_LIMIT, NO_LIMIT), 10, ENOUGH, NO_LIMIT),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_be(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], least: int, allowed: int, soft: int
) -> None:
    now = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: now.append(to))
    assert allow_open_files(least) == allowed
    assert now[-1] == (soft, limits[1])


def test_a_limit_that_cannot_be_raised_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, __: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, NO_LIMIT))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert allow_open_files() == 256


def test_what_the_system_says_is_told() -> None:
    with no_more_files(), pytest.raises(OSError, match="Too many open files") as raised:
        os.open(os.devnull, os.O_RDONLY)
    assert is_shortage(raised.value)


@pytest.mark.parametrize(
    ("error", "so"),
    [
        (OSError(errno.ENFILE, ""), True),
        (OSError(errno.ENOBUFS, ""), True),
        (OSError(errno.ENOMEM, ""), True),
        (socket.gaierror(socket.EAI_MEMORY, ""), True),
        (socket.gaierror(socket.EAI_NONAME, ""), False),
        (socket.gaierror("a name"), False),
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), False),
        (OSError("no number"), False),
        (ValueError(errno.EMFILE), False),
    ],
)
def test_which_errors_are_ours(error: Exception, so: bool) -> None:
    assert is_shortage(error) is so


async def test_a_process_without_a_file_left_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.open_files.LOOK", 0.01)
    with capture_logs() as lines:

        def told() -> list[str]:
            return [line["reason"] for line in lines if line["event"] == "no file left to open"]

        telling = asyncio.create_task(tell_of_none_left())
        await asyncio.sleep(0.05)
        assert told() == []
        with no_more_files():
            await eventually(told)
            await asyncio.sleep(0.05)
        await cancelled(telling)
    assert told() == ["Too many open files"]


@pytest.mark.parametrize(("second", "so"), [(errno.EMFILE, True), (errno.EHOSTUNREACH, False)])
async def test_of_several_addresses_one_without_a_file_left_is_a_shortage(second: int, so: bool) -> None:
    errors = iter((errno.ECONNREFUSED, second))

    def fails(_: object) -> socket.socket:
        raise OSError(number := next(errors), os.strerror(number))

    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (f"127.0.0.{last}", 9)) for last in (1, 2)]
    with pytest.raises(OSError, match="Multiple exceptions") as raised:
        await aiohappyeyeballs.start_connection(addresses, socket_factory=fails)  # type: ignore[arg-type]
    assert is_shortage(raised.value) == so
