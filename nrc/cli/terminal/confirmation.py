"""Asks for a confirmation on a terminal."""

from __future__ import annotations

import sys

import click

from schemas.errors import UsageError


def ask(question: str, *, otherwise: str) -> None:
    """Return when the answer is yes; a no ends the command.

    otherwise: says which option replaces the answer. Raises UsageError with it without a terminal: in a
    script the question would wait for ever, or read input that was meant for something else.
    """
    if not at_terminal():
        raise UsageError(otherwise)
    click.confirm(question, abort=True, err=True)


def at_terminal() -> bool:
    """Whether there is a terminal to ask on."""
    return sys.stdin.isatty()
