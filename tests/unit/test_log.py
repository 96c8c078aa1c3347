"""The log: a line that cannot be written is lost, and whoever logs goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
        stdout=subprocess.PIPE, stderr=stderr, cwd=Path(__file__).parents[2], check=False,
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
