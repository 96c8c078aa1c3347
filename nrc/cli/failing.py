"""How a command ends when it can't do what was asked: one line on standard error, and an exit code."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import Any

import click

from schemas.errors import (
    BrokerError,
    Conflict,
    NrcError,
    RegistryError,
    RegistryTooNew,
    SecretsUnreadable,
    SettingsError,
    UsageError,
)


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_REACHABLE = 3


class GatewayUnreachable(NrcError):
    """The gateway gives no answer at the address that was tried."""


def exit_code(error: NrcError) -> Exit:
    """The exit code for a fault."""
    match error:
        case UsageError() | SettingsError():
            return Exit.USAGE
        case Conflict() | RegistryTooNew() | SecretsUnreadable():
            return Exit.FAILED
        case RegistryError() | BrokerError() | GatewayUnreachable():
            return Exit.NOT_REACHABLE
    return Exit.FAILED


class Commands(click.Group):
    """A group of commands whose faults end as lines on standard error, never as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except NrcError as error:
            for line in str(error).splitlines():
                click.echo(f"nrc: {line}", err=True)
            sys.exit(exit_code(error))
