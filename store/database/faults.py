"""PostgreSQL's errors as errors that say what to do, and which of them pass by themselves. Pure."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors
from psycopg_pool import PoolTimeout

from schemas.errors import NrcError
from store.database.address import Address
from store.faults import Faults

_ADVICE: tuple[tuple[type[psycopg.Error], str], ...] = (
    (PoolTimeout, "it is too slow for what this process asks of it"),
    (errors.LockNotAvailable, "another process has it locked (pg_stat_activity shows which); try again"),
    (errors.QueryCanceled, "a statement took too long and was broken off; ask for less"),
    (errors.IdleInTransactionSessionTimeout, "this process stood still within a transaction; try again"),
    (errors.DiskFull, "its disk is full; free some space"),
    (errors.InsufficientPrivilege, "its user lacks a right; docs/operations.md says which are needed"),
    (errors.ReadOnlySqlTransaction, "it takes no writes: NRC_DATABASE_URL must name the primary"),
    (errors.DataCorrupted, "it is damaged; restore a backup, or of the ledger: nrc ledger rebuild"),
    (errors.IndexCorrupted, "an index of it is damaged; REINDEX makes it again"),
)  # fmt: skip

# Who is refused a connection is told why in words only: psycopg has no code of it. In another language than
# English they stand behind the general advice.
_REFUSED = (
    (
        r"password authentication failed|no password supplied|SASL auth|role \".*\" (does not|is not)",
        "its user or password is wrong; correct NRC_DATABASE_URL, or NRC_DATABASE_PASSWORD_FILE",
    ),
    (
        r"pg_hba\.conf|permission denied for database",
        "it does not let this user in from this host; see its pg_hba.conf, and sslmode in NRC_DATABASE_URL",
    ),
    (
        r"database \".*\" does not exist|no such database",
        "there is no such database; make it, or correct NRC_DATABASE_URL",
    ),
    (
        r"too many (clients|connections)|remaining connection slots|no more connections allowed",
        "it has no connection left; raise its max_connections, or use PgBouncer",
    ),
    (
        r"session is read-only|hot standby",
        "it takes no writes: NRC_DATABASE_URL must name the primary, or all servers",
    ),
    (
        r"starting up|shutting down|recovery mode|not yet accepting connections",
        "it is starting, stopping or recovering; when that lasts, its own log says why (a full disk, often)",
    ),
)

# After these a transaction that is done again may succeed, and this one surely changed nothing.
_AGAIN = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.ReadOnlySqlTransaction,
    errors.TooManyConnections,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
)


def passes(error: BaseException) -> bool:
    """Whether the same transaction may succeed if it is done again, perhaps on another server."""
    return is_lost(error) or isinstance(error, _AGAIN)


def is_lost(error: BaseException) -> bool:
    """Whether the connection was lost, so that what it did last may have been done or not."""
    if isinstance(error, errors.IdleInTransactionSessionTimeout):
        return False
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        # Class 08 is also what PgBouncer says of a server that it cannot reach.
        state = error.sqlstate
        return state is None or state[:2] == "08" or state in ("57P01", "57P02", "57P03")
    return isinstance(error, ConnectionError)


def said(error: BaseException) -> str:
    """An error's own words, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def told(faults: Faults, address: Address, error: psycopg.Error | OSError) -> NrcError:
    """The error to raise for an error of PostgreSQL or of the way to it; it says what to do."""
    what = f"the {faults.name} {address.shown}"
    words = said(error)
    if isinstance(error, OSError):
        return faults.error(f"{what}: {error.filename or 'the way to it'}: {error.strerror or words}.")
    if isinstance(error, errors.UniqueViolation | errors.ExclusionViolation):
        return faults.taken(f"that is taken already ({words}).")
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn):
        return faults.too_new(
            f"{what}: its tables were changed by another version of nrc, or removed ({words}): restart this "
            "process with the version that is in use; `nrc ledger rebuild` makes those of the "
            "ledger that were removed."
        )
    advice = next((text for kind, text in _ADVICE if isinstance(error, kind)), None)
    if advice is None and is_lost(error):
        refused = (text for pattern, text in _REFUSED if re.search(pattern, words))
        advice = next(refused, "it cannot be reached; see that it runs, and that NRC_DATABASE_URL names it")
    kind = faults.full if isinstance(error, errors.DiskFull) else faults.error
    return kind(f"{what}: {advice} ({words})." if advice else f"{what}: {words}.")
