"""Moments as people type them (operating/moments.py), for commands: a click type."""

from __future__ import annotations

import time

import click

from operating.moments import read_moment


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def moment(text: str) -> int:
    """Milliseconds since 1970 of what `read_moment` takes."""
    try:
        return read_moment(text.strip(), now=now() / 1000)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
