"""The log: what is never written to it, and that a line that cannot be written raises nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from runtime.log import _plain

LOGGING = """
import logging
from runtime.log import configure_logging, logger

configure_logging(form=%r, level="info", process="test")
for number in range(1000):
    logger("test").info("accepted", notificatie=str(number))
    logging.getLogger("some.library").warning("as it says")
try:
    1 / 0
except ZeroDivisionError:
    logger("test").exception("fault")
print("went on")
"""


def _log_to(stderr: int, form: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", LOGGING % form],
        stdout=subprocess.PIPE, stderr=stderr, cwd=Path(__file__).parents[3], check=False,
    )  # fmt: skip


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_full_disk_under_the_log_stops_nobody(form: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert _log_to(full, form).stdout == b"went on\n"
    finally:
        os.close(full)


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_reader_of_the_log_that_is_gone_stops_nobody(form: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert _log_to(writing, form).stdout == b"went on\n"
    finally:
        os.close(writing)


EXTREMES = """
import logging
from runtime.log import configure_logging, logger

configure_logging(form=%r, level="info", process="test")
long = "x" * 1_000_000
logger("test").info("long", ours=long, authorization="geheim", many=[long] * 3)
logging.getLogger("some.library").warning("theirs", extra={"theirs": long, "token": "geheim"})
logger("test").info("half a \\ud800", name="half a \\ud800 \\x1b[31m", number=2**70)
def fall(depth):
    return fall(depth - 1) if depth else 1 / 0
try:
    try:
        fall(500)
    except ZeroDivisionError as error:
        raise ValueError(long) from error
except ValueError:
    logger("test").exception("fault")
    logging.getLogger("some.library").exception("fault")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_value_is_long_and_none_is_a_fault(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXTREMES % form],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], check=True,
    )  # fmt: skip
    assert done.stdout == ""
    assert len(done.stderr) < 60_000, "three values and two tracebacks"
    assert "geheim" not in done.stderr
    assert "x" * 2000 + "… (1000000 characters)" in done.stderr
    assert "x" * 12_000 not in done.stderr
    assert "… (3000012 characters)" in done.stderr
    assert "half a \\ud800" in done.stderr
    assert "\x1b[31m" not in done.stderr
    assert done.stderr.count("ZeroDivisionError") >= 2, "where it began is told"
    lines = done.stderr.splitlines()
    if form == "json":
        assert [json.loads(line)["event"] for line in lines][::4] == ["long", "fault"]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {
            "notificatie": "5f3a2b1c",
            "kanaal": "zaken",
            "hoofdObject": "https://zaken.nl/1",
            "actie": "create",
        },
        {"status": 204, "ms": 1.5, "none": None, "many": ["a", 1], "empty": "", "é": "ë€😀", "_": True},
        {"space": "a b", "tab": "a\tb", "equals": "a=b", "one": "it's", "two": 'a"b', "line": "a\nb\r"},
        {"logger": "some.library", "x": "y"},
        {"stack": "Stack (most recent call last):\n  File …"},
    ],
)
@pytest.mark.parametrize("event", ["accepted", "an event that is longer than thirty characters", "", "é"])
def test_a_plain_line_is_that_of_the_library(event: str, facts: dict[str, object]) -> None:
    console = structlog.dev.ConsoleRenderer(colors=False)
    line = {"timestamp": "2026-01-31T01:46:03.412Z", "level": "warning", "event": event, **facts}
    assert _plain(console)(None, "", dict(line)) == console(None, "", dict(line))
