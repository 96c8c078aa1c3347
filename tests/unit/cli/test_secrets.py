"""`nrc secrets …` on a real registry file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ledger.opening import LEDGER_FILE, open_ledger
from ledger.values import Entry
from store.secrets import key_id
from tests.command import nrc
from tests.contract.stores.test_ledger import an_entry

KEYS = [Fernet.generate_key().decode() for _ in range(2)]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    nrc(tmp_path, "application", "add", "zac", "--new", "--secret", "never-shown-" * 3)
    return tmp_path


def keys_in(folder: Path) -> list[str]:
    lines = (folder / "secret.keys").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_check(state: Path) -> None:
    ran = nrc(state, "secrets", "check")
    (key,) = keys_in(state)
    assert ran.code == 0
    assert ran.out.splitlines()[1].split() == [key_id(key), "encrypts", "1"]
    assert "1 secret(s), 0 unreadable" in ran.err
    assert key not in ran.out + ran.err


def test_rotate_with_a_file_makes_a_key(state: Path) -> None:
    (old,) = keys_in(state)
    ran = nrc(state, "secrets", "rotate")
    new, kept = keys_in(state)
    assert (ran.code, kept) == (0, old)
    assert ran.out == f"1 secret(s) encrypted with key {key_id(new)} of {state}/secret.keys\n"
    assert not any(key in ran.out + ran.err for key in (old, new))
    shown = nrc(state, "secrets", "check", "--json").json()
    assert shown["keys"] == [
        {"key": key_id(new), "use": "encrypts", "secrets": 1},
        {"key": key_id(old), "use": "decrypts", "secrets": 0},
    ]
    assert nrc(state, "token", "zac").code == 0


def test_rotate_to_given_keys(state: Path) -> None:
    both = {"NRC_SECRET_KEYS": f"{KEYS[0]},{keys_in(state)[0]}"}
    ran = nrc(state, "secrets", "rotate", env=both)
    assert (ran.code, ran.out) == (
        0,
        f"1 secret(s) encrypted with key {key_id(KEYS[0])} of NRC_SECRET_KEYS\n",
    )
    (state / "secret.keys").unlink()
    assert nrc(state, "secrets", "check", env={"NRC_SECRET_KEYS": KEYS[0]}).code == 0


@pytest.mark.parametrize("command", [["secrets", "check"], ["secrets", "rotate"], ["application", "list"]])
def test_a_lost_key_is_one_line_for_every_command(state: Path, command: list[str]) -> None:
    ran = nrc(state, *command, env={"NRC_SECRET_KEYS": KEYS[1]})
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("nrc: the registry holds secrets under key ")
    (state / "secret.keys").unlink()
    (line,) = nrc(state, *command).err.splitlines()
    assert "the key is gone" in line
    assert not (state / "secret.keys").exists()


# The ledger's


@pytest.fixture
def entry(state: Path) -> Entry:
    """What the ledger has."""
    kept = an_entry()

    async def write() -> None:
        async with open_ledger(state / LEDGER_FILE) as ledger:
            await ledger.write([kept])

    asyncio.run(write())
    return kept


def test_the_key_of_the_ledger_is_encrypted_again_and_what_is_in_it_still_found(
    state: Path, entry: Entry
) -> None:
    (old,) = keys_in(state)
    assert nrc(state, "secrets", "check", "--json").json()["keys"][0]["secrets"] == 2
    assert nrc(state, "secrets", "rotate").code == 0
    new, _ = keys_in(state)
    shown = nrc(state, "secrets", "check", "--json").json()
    assert shown["keys"] == [
        {"key": key_id(new), "use": "encrypts", "secrets": 2},
        {"key": key_id(old), "use": "decrypts", "secrets": 0},
    ]
    (state / "secret.keys").write_text(new + "\n")
    (found,) = nrc(state, "trace", entry.hoofd_object, "--json").json()
    assert found["id"] == str(entry.id)


@pytest.mark.usefixtures("entry")
def test_a_ledger_whose_key_is_gone_is_told(state: Path) -> None:
    (old,) = keys_in(state)
    both = {"NRC_SECRET_KEYS": f"{KEYS[0]},{old}"}
    ledger, aside = state / LEDGER_FILE, state / "aside.db"
    ledger.rename(aside)  # as one that was away meanwhile
    assert nrc(state, "secrets", "rotate", env=both).code == 0
    aside.rename(ledger)
    ran = nrc(state, "secrets", "check", env={"NRC_SECRET_KEYS": KEYS[0]})
    assert ran.code == 1
    assert [key_id(old), "missing", "1"] in [line.split() for line in ran.out.splitlines()]
    assert "the key of the ledger's hashes cannot be read" in ran.err
    ran = nrc(state, "secrets", "rotate", env={"NRC_SECRET_KEYS": KEYS[0]})
    assert ran.code == 1
    assert "was not encrypted again, so keep the old key" in ran.err
