"""Asks whoever typed a command whether they are sure."""

from __future__ import annotations

import sys

import click

from schemas.errors import UsageError


def ask(question: str, *, otherwise: str) -> None:
    """Return when the answer is yes; a no ends the command.

    otherwise: what to give in place of an answer. Raises UsageError with it where nobody can be asked: in a
    script the question would stay unanswered for ever, or take its answer from what was meant for another.
    """
    if not at_terminal():
        raise UsageError(otherwise)
    click.confirm(question, abort=True, err=True)


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()
