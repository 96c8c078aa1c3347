"""The exit codes of all commands and processes, and the code of each exception."""

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
    """The exit code of a command or a process."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_REACHABLE = 3
    DIFFERS = 4
    """A dry run found something to do."""


class GatewayUnreachable(NrcError):
    """The gateway does not answer at the address that was tried."""


class SourceUnreachable(NrcError):
    """What is to be imported from does not answer."""


def exit_code(error: NrcError) -> Exit:
    """The exit code for an exception."""
    match error:
        case UsageError() | SettingsError():
            return Exit.USAGE
        case Conflict() | RegistryTooNew() | SecretsUnreadable() | BrokerUnfit():
            return Exit.FAILED
        case RegistryError() | LedgerError() | BrokerError() | GatewayUnreachable() | SourceUnreachable():
            return Exit.NOT_REACHABLE
    return Exit.FAILED
