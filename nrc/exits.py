"""The exit codes of every command and every process: one table, and which fault has which."""

from __future__ import annotations

from enum import IntEnum

from schemas.errors import (
    BrokerError,
    BrokerUnfit,
    Conflict,
    LedgerError,
    NrcError,
    RegistryError,
    RegistryTooNew,
    SecretsUnreadable,
    SettingsError,
    UsageError,
)


class Exit(IntEnum):
    """What a command or a process ends with."""

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
        case Conflict() | RegistryTooNew() | SecretsUnreadable() | BrokerUnfit():
            return Exit.FAILED
        case RegistryError() | LedgerError() | BrokerError() | GatewayUnreachable():
            return Exit.NOT_REACHABLE
    return Exit.FAILED
