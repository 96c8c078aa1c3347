"""`nrc secrets …`: the keys that encrypt the secrets in the registry, and the key of the ledger's hashes."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from nrc.cli.connecting import carry_out, there_is_a_registry
from nrc.cli.operating import audit
from nrc.cli.terminal.output import Column, as_json, json_option, note, table
from nrc.exits import Exit
from runtime.settings import Settings, load_settings
from schemas.errors import LedgerError

if TYPE_CHECKING:
    from store.registry import Secrets


@click.group()
def secrets() -> None:
    """Secrets in the registry: whether they can be read, and with which key they are encrypted."""


@secrets.command()
@json_option
def check(json_: bool) -> None:
    """Decrypt every secret, and show the keys by their names. Exit code 1: one can't be read.

    The key by which the ledger hashes is one of them.
    """
    settings = load_settings()
    found = _with_ledger(carry_out(_check(settings)), settings)
    rows = _rows(found)
    if json_:
        keys = [{"key": name, "use": use, "secrets": count} for name, use, count in rows]
        as_json({"keysFrom": found.where, "keys": keys, "faults": found.faults})
    else:
        table([Column("KEY"), Column("USE"), Column("SECRETS")], rows, empty="")
        for line in found.faults:
            note(f"nrc: {line}")
        note(
            f"keys from {found.where}; {sum(found.in_use.values())} secret(s), {len(found.faults)} unreadable"
        )
    if found.faults:
        sys.exit(Exit.FAILED)


async def _check(settings: Settings) -> Secrets:
    from store.opening import registry_of

    there_is_a_registry(settings)
    async with registry_of(settings) as registry:
        return await registry.check_secrets()


def _with_ledger(found: Secrets, settings: Settings) -> Secrets:
    """`found` with the key of the ledger's hashes added, if there is a ledger. Raises LedgerError."""
    from ledger.opening import seal_there

    seal = carry_out(seal_there(settings))
    if seal is None:
        return found
    in_use = {**found.in_use, seal.key: found.in_use.get(seal.key, 0) + 1}
    faults = (*found.faults, seal.fault) if seal.fault else found.faults
    return replace(found, in_use=in_use, faults=faults)


def _rows(found: Secrets) -> list[tuple[str, str, int]]:
    uses = ["encrypts", *["decrypts"] * (len(found.keys) - 1)]
    rows = [(key, use, found.in_use.get(key, 0)) for key, use in zip(found.keys, uses, strict=True)]
    return rows + [
        (key or "none", "missing" if key else "not encrypted", count)
        for key, count in sorted(found.in_use.items())
        if key not in found.keys
    ]


@secrets.command()
def rotate() -> None:
    """Encrypt every secret again, with another key; also the key by which the ledger hashes.

    That one itself stays, so what is in the ledger is found as before.

    Keys in the file secret.keys: a new one is made and put first; the old ones stay. Keys in NRC_SECRET_KEYS:
    the first is used; put a new one there before, for every process, and restart these.
    """
    settings = load_settings()
    count, found = carry_out(_rotate(settings))
    click.echo(f"{count} secret(s) encrypted with key {found.keys[0]} of {found.where}")
    try:
        carry_out(_seal_again(settings))
    except LedgerError as error:
        note(f"nrc: the key of the ledger's hashes was not encrypted again, so keep the old key: {error}")
        sys.exit(Exit.FAILED)
    if settings.on_postgresql and not settings.secret_keys:
        note(f"copy {found.where} to every other host that uses this database, and restart its processes")
    if len(found.keys) > 1:
        note("the old keys are not needed any more, but for copies of registry and ledger from before")


async def _seal_again(settings: Settings) -> None:
    """Open the ledger, which encrypts the key of its hashes with the first key."""
    from ledger.opening import ledger_is_there, ledger_of

    if ledger_is_there(settings):
        async with ledger_of(settings):
            pass


async def _rotate(settings: Settings) -> tuple[int, Secrets]:
    from store.opening import registry_of

    there_is_a_registry(settings)
    async with registry_of(settings) as registry:
        count = await registry.rotate_secrets(progress=lambda done, all_: note(f"{done} of {all_}"))
        found = await registry.check_secrets()
        await audit.record(
            settings, "secrets encrypted again", registry=registry, count=count, key=found.keys[0]
        )
    return count, found
