"""Ends a command that failed: one line on standard error, and an exit code."""

from __future__ import annotations

import sys
from typing import Any

import click

from nrc.cli.lazy_commands import LazyGroup
from nrc.cli.terminal.streams import fault_of_output
from nrc.exits import Exit, exit_code
from schemas.errors import NrcError, SettingsError, ValidationError

INTERRUPTED = 130


class Commands(LazyGroup):
    """A group of commands whose faults end as lines on standard error, never as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return self._with_all_told(ctx)
        except SettingsError as error:
            _tell_of_settings(error)
            sys.exit(exit_code(error))
        except ValidationError as error:
            # Its own text refers to a list that is in the answer of the API only.
            for each in error.invalid_params:
                click.echo(f"nrc: {each.name}: {each.reason}", err=True)
            sys.exit(Exit.USAGE)
        except NrcError as error:
            for line in str(error).splitlines():
                click.echo(f"nrc: {line}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            # As shells expect of a command that Ctrl-C ended.
            sys.exit(INTERRUPTED)
        except click.Abort as error:
            # click raises this for a "no" to a question, and for a Ctrl-C at one.
            if isinstance(error.__context__, KeyboardInterrupt):
                click.echo(err=True)  # so that the shell's prompt is on a line of its own
                sys.exit(INTERRUPTED)
            raise

    def _with_all_told(self, ctx: click.Context) -> Any:
        """Run the command. Exit code 1 when its output could not be written, although it was carried out."""
        result = super().invoke(ctx)
        fault = fault_of_output()
        if fault is None:
            return result
        if fault:
            click.echo(f"nrc: standard output: {fault}", err=True)
        sys.exit(Exit.FAILED)


def _tell_of_settings(error: SettingsError) -> None:
    """A line for each fault, in JSON when the log is, so that a reader of the log understands it."""
    from runtime.log import configure_logging, logger
    from runtime.settings import log_is_json

    if not log_is_json():
        for fault in error.faults:
            click.echo(f"nrc: {fault}", err=True)
        return
    configure_logging(form="json", level="error", process="nrc")
    log = logger(__name__)
    for fault in error.faults:
        log.error("wrong setting", fault=fault)
