"""`nrc secrets …`: the keys that encrypt the secrets in the registry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nrc.cli import audit
from nrc.cli.reaching import carry_out, there_is_a_registry
from nrc.cli.showing import Column, as_json, json_option, note, table
from nrc.exits import Exit
from runtime.settings import Settings, load_settings

if TYPE_CHECKING:
    from store.registry import Secrets


@click.group()
def secrets() -> None:
    """Secrets in the registry: whether they can be read, and with which key they are encrypted."""


@secrets.command()
@json_option
def check(json_: bool) -> None:
    """Decrypt every secret, and show the keys by their names. Exit code 1: one can't be read."""
    found = carry_out(_check(load_settings()))
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
    """Encrypt every secret again, with another key.

    Keys in the file secret.keys: a new one is made and put first; the old ones stay. Keys in NRC_SECRET_KEYS:
    the first is used; put a new one there before, for every process, and restart these.
    """
    carry_out(_rotate(load_settings()))


async def _rotate(settings: Settings) -> None:
    from store.opening import registry_of

    there_is_a_registry(settings)
    async with registry_of(settings) as registry:
        count = await registry.rotate_secrets(progress=lambda done, all_: note(f"{done} of {all_}"))
        found = await registry.check_secrets()
        await audit.record(
            settings, "secrets encrypted again", registry=registry, count=count, key=found.keys[0]
        )
    click.echo(f"{count} secret(s) encrypted with key {found.keys[0]} of {found.where}")
    if len(found.keys) > 1:
        note("the old keys are not needed any more, but for copies of the registry from before")
