"""The errors of a store, by what is in it: what a library raises becomes one of these."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import (
    Conflict,
    LedgerError,
    LedgerFull,
    LedgerInUse,
    NrcError,
    RegistryError,
    RegistryInUse,
    RegistryTooNew,
)


@dataclass(frozen=True, slots=True)
class Faults:
    """The errors of one kind of store. name: of what is in it.

    error: raised for every fault, or a subclass of it: in_use when another host has the file, too_new when a
    newer program wrote it, taken when a unique value exists already, full when its disk is full. damaged:
    what to do about a file that is no database (any more); None: as for any file.
    """

    name: str
    error: type[NrcError]
    in_use: type[NrcError]
    too_new: type[NrcError]
    taken: type[NrcError]
    full: type[NrcError]
    damaged: str | None = None


REGISTRY = Faults(
    name="registry",
    error=RegistryError,
    in_use=RegistryInUse,
    too_new=RegistryTooNew,
    taken=Conflict,
    full=RegistryError,
)

LEDGER = Faults(
    name="ledger",
    error=LedgerError,
    in_use=LedgerInUse,
    too_new=LedgerError,
    taken=LedgerError,
    full=LedgerFull,
    damaged="it is damaged; stop every process, and have `nrc ledger rebuild` make a new one",
)
