"""How far a long copy of rows is, in lines."""

from __future__ import annotations

import pytest

from nrc.cli.terminal.row_progress import EVERY, Lines


def test_a_line_now_and_then_with_counts(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = Lines(clock=lambda: now)
    lines.tell("copied", "name", 7, 7)
    lines.tell("copied", "delivery", 1000, 2500)
    assert capsys.readouterr().err == ""
    now = EVERY
    lines.tell("copied", "delivery", 2000, 2500)
    assert capsys.readouterr().err == "copied: delivery 2000 of 2500; 2007 rows since the begin\n"
    lines.tell("copied", "delivery", 2500, 2500)
    assert capsys.readouterr().err == ""
    now = 2 * EVERY
    lines.tell("compared", "name", 7, 7)
    assert capsys.readouterr().err == "compared: name 7 of 7; 2514 rows since the begin\n"
