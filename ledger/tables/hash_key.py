"""The key of a ledger's hashes as it is kept: encrypted by the vault. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass

from schemas.errors import LedgerError, SecretsUnreadable
from store.secrets import Vault, key_of, place

NAME = "key of the hashes"
"""Its name in the table `secret`."""
_BYTES = 32
_PLACE = place("secret", "value", NAME)


@dataclass(frozen=True, slots=True)
class Seal:
    """How the key of a ledger's hashes is encrypted: under which key of the vault. fault: "" when well."""

    key: str
    fault: str = ""


def how_sealed(sealed: str, vault: Vault) -> Seal:
    """How this one is encrypted; opens the vault."""
    name = key_of(sealed)
    try:
        vault.open({name})
        unsealed(sealed, vault)
    except (SecretsUnreadable, LedgerError) as error:
        return Seal(name, f"the key of the ledger's hashes cannot be read: {error}")
    return Seal(name)


def unsealed(sealed: str, vault: Vault) -> bytes:
    """The key. Raises LedgerError."""
    try:
        return bytes.fromhex(vault.unseal(sealed, _PLACE))
    except SecretsUnreadable as error:
        raise LedgerError(str(error)) from error


def sealed_anew(sealed: str, vault: Vault) -> str | None:
    """What is to be kept: a new key where there is none (""), or this one under the vault's first key.

    None when it is under that already. Opens the vault. Raises LedgerError.
    """
    try:
        vault.open({key_of(sealed)} if sealed else ())
    except SecretsUnreadable as error:
        raise LedgerError(f"the ledger cannot be read: {error}") from error
    if sealed and key_of(sealed) == vault.key_ids[0]:
        return None
    plain = unsealed(sealed, vault).hex() if sealed else os.urandom(_BYTES).hex()
    return vault.seal(plain, _PLACE)


def moved(sealed: str, source: Vault, target: Vault) -> str:
    """This one for another ledger, under the first key of `target`, which is open. Raises LedgerError."""
    plain = unsealed(sealed, source)
    return sealed if key_of(sealed) == target.key_ids[0] else target.seal(plain.hex(), _PLACE)
