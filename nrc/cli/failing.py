"""How a command ends when it can't do what was asked: one line on standard error, and an exit code."""

from __future__ import annotations

import sys
from typing import Any

import click

from nrc.exits import exit_code
from schemas.errors import NrcError

INTERRUPTED = 130


class Commands(click.Group):
    """A group of commands whose faults end as lines on standard error, never as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except NrcError as error:
            for line in str(error).splitlines():
                click.echo(f"nrc: {line}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            # What a shell expects of a command that Ctrl-C ended.
            sys.exit(INTERRUPTED)
