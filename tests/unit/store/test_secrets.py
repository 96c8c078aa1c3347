"""Secrets at rest: what is on the disk, the keys and their file, rotation, loss, encrypting plain ones."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet

from schemas.abonnement import Abonnement
from schemas.application import Application
from schemas.callback_auth import CallbackAuth
from schemas.errors import RegistryError, SecretsUnreadable
from store.files.upgrade import copy_name
from store.opening import open_registry
from store.registry import Changes, Registry
from store.secrets import Vault, key_id, place
from tests.databases.sqlite_file import ask
from tests.tls.certificates import Authority

WORKER = Path(__file__).parents[2] / "contract" / "stores" / "registry_worker.py"
PLAIN = Path(__file__).with_name("registry_0003.sql")
"""A registry of before secrets were encrypted, as that program made it."""

SECRETS = (b"never-on-disk-auth", b"never-on-disk-secret", b"never-on-disk-old", b"never-on-disk-key")
KEY, OTHER_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


def on_disk(file: Path) -> bytes:
    """Every byte of the registry: the file and its write-ahead log."""
    return b"".join(
        path.read_bytes() for path in sorted(file.parent.glob("registry.db*")) if ".before-" not in path.name
    )


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def keys_in(file: Path) -> list[str]:
    lines = file.with_name("secret.keys").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def an_abonnement(auth: str = "Bearer never-on-disk-auth") -> Abonnement:
    return Abonnement(uuid4(), "https://example.com/", auth, (), "zac")


async def fill(registry: Registry) -> tuple[Application, Abonnement]:
    application = await registry.add_application(
        Application("zac", "never-on-disk-secret", old_secret="never-on-disk-old", old_secret_until=4e9)
    )
    return application, await registry.add_abonnement(an_abonnement())


async def everything(registry: Registry) -> Changes:
    return await registry.changes_since(0)


async def look(file: Path) -> Changes:
    async with open_registry(file) as registry:
        return await everything(registry)


# On disk


async def test_no_secret_is_on_disk_in_plain(file: Path) -> None:
    async with open_registry(file) as registry:
        application, abonnement = await fill(registry)
        await registry.change_application(
            application.client_id, lambda latest: replace(latest, secret="never-on-disk-secret-2")
        )
        await registry.change_abonnement(
            abonnement.uuid, lambda latest: replace(latest, auth="Bearer never-on-disk-auth-2")
        )
        asked = CallbackAuth.model_validate({"header": {"name": "X-Key", "value": "never-on-disk-key"}})
        await registry.change_abonnement(abonnement.uuid, lambda latest: replace(latest, callback_auth=asked))
        assert (await everything(registry)).abonnementen[0].callback_auth == asked
        bytes_while_open = on_disk(file)
        assert (await everything(registry)).abonnementen[0].auth == "Bearer never-on-disk-auth-2"
    for content in (bytes_while_open, on_disk(file)):
        assert b"https://example.com/" in content
        assert not any(secret in content for secret in SECRETS)
        assert not any(key.encode() in content for key in keys_in(file))


async def test_what_is_empty_stays_empty(file: Path) -> None:
    async with open_registry(file) as registry:
        await registry.add_application(Application("zac", "x"))
    assert ask(file, "SELECT old_secret FROM application") == [("",)]


async def test_the_same_secret_twice_looks_different(file: Path) -> None:
    async with open_registry(file) as registry:
        for _ in range(2):
            await registry.add_abonnement(an_abonnement())
    (one,), (two,) = ask(file, "SELECT auth FROM abonnement")
    assert one != two


@pytest.mark.parametrize(
    "swap",
    [
        "UPDATE abonnement SET auth = (SELECT secret FROM application)",
        "UPDATE application SET secret = old_secret",
        "UPDATE abonnement SET uuid = '00000000-0000-0000-0000-000000000009'",
        "UPDATE application SET client_id = 'thief'",
        "UPDATE abonnement SET auth = 'Bearer planted'",
        "UPDATE abonnement SET auth = substr(auth, 1, 60) "
        "|| iif(substr(auth, 61, 1) = 'A', 'B', 'A') || substr(auth, 62)",
    ],
)
async def test_a_value_counts_in_its_own_place_only(file: Path, swap: str) -> None:
    async with open_registry(file) as registry:
        await fill(registry)
    ask(file, swap)
    async with open_registry(file) as registry:
        with pytest.raises(
            SecretsUnreadable, match=r"^(auth of abonnement|secret of application) "
        ) as refused:
            await everything(registry)
        found = await registry.check_secrets()
        assert str(refused.value) in found.faults
        before = on_disk(file)
        with pytest.raises(SecretsUnreadable):
            await registry.rotate_secrets(progress=lambda done, all_: None)
        assert on_disk(file) == before
        assert len(keys_in(file)) == 1
    told = " ".join(found.faults)
    assert "\n" not in told
    assert not any(secret.decode() in told for secret in (*SECRETS, b"planted"))


# Keys


async def test_the_first_start_makes_a_key_of_its_owner_only(file: Path) -> None:
    async with open_registry(file) as registry:
        await fill(registry)
    keys = file.with_name("secret.keys")
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert len(keys_in(file)) == 1
    before = keys.read_bytes()
    assert len((await look(file)).applications) == 1
    assert keys.read_bytes() == before
    assert {path.name for path in file.parent.iterdir()} == {"registry.db", "secret.keys"}


async def test_keys_that_are_given_need_no_file(file: Path) -> None:
    async with open_registry(file, secret_keys=[KEY]) as registry:
        application, abonnement = await fill(registry)
    assert not file.with_name("secret.keys").exists()
    async with open_registry(file, secret_keys=[OTHER_KEY, KEY]) as registry:
        found = await everything(registry)
        assert (found.applications, found.abonnementen) == ((application,), (abonnement,))
        await registry.add_abonnement(an_abonnement())
        check = await registry.check_secrets()
    assert check.keys == (key_id(OTHER_KEY), key_id(KEY))
    assert check.in_use == {key_id(OTHER_KEY): 1, key_id(KEY): 3}
    assert (check.where, check.faults) == ("NRC_SECRET_KEYS", ())


async def test_four_processes_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    """Each with a registry of its own, so that nothing but the key file orders them."""
    keys = tmp_path / "secret.keys"
    starts = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c",
            "import sys; from pathlib import Path; from store.secrets import Vault\n"
            "vault = Vault((), Path(sys.argv[1])); sys.stdin.read(); vault.open(())\n"
            "print('made', vault.key_ids)",
            str(keys),
            cwd=Path(__file__).parents[3], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(4)
    ]  # fmt: skip
    answers = await asyncio.gather(*(start.communicate(b"") for start in starts))
    assert len({out.splitlines()[-1] for out, _ in answers}) == 1
    assert all(start.returncode == 0 for start in starts)
    assert names_in(tmp_path) == {"secret.keys"}


async def test_processes_that_start_at_once_on_one_registry_read_each_other(file: Path) -> None:
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), str(file), "add", f"k{n}", stderr=asyncio.subprocess.PIPE
        )
        for n in range(3)
    ]
    logged = b"".join([(await worker.communicate())[1] for worker in workers])
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert logged.count(b'"key made"') == 1
    assert not any(key.encode() in logged for key in keys_in(file))


async def test_a_lost_key_file_changes_nothing(file: Path) -> None:
    async with open_registry(file) as registry:
        await fill(registry)
    keys = file.with_name("secret.keys")
    kept = keys.read_bytes()
    keys.unlink()
    before = on_disk(file)
    for _ in range(2):
        with pytest.raises(
            SecretsUnreadable, match=r"key is gone: NRC_SECRET_KEYS .* no .*secret\.keys"
        ) as told:
            await open_registry(file).__aenter__()
        assert "\n" not in str(told.value)
    assert not keys.exists()
    assert on_disk(file) == before
    keys.write_bytes(kept)
    assert len((await look(file)).abonnementen) == 1


@pytest.mark.parametrize("given", [True, False])
async def test_a_wrong_key_changes_nothing(file: Path, given: bool) -> None:
    async with open_registry(file, secret_keys=[KEY]) as registry:
        await fill(registry)
    before = on_disk(file)
    if not given:
        file.with_name("secret.keys").write_text(OTHER_KEY + "\n")
    with pytest.raises(SecretsUnreadable, match=f"under key {key_id(KEY)}.*{key_id(OTHER_KEY)}") as told:
        await open_registry(file, secret_keys=[OTHER_KEY] if given else []).__aenter__()
    assert "\n" not in str(told.value)
    assert KEY not in str(told.value)
    assert OTHER_KEY not in str(told.value)
    assert on_disk(file) == before


@pytest.mark.parametrize(
    "content, fault",
    [
        (b"", "holds no key"),
        (b"# nothing else\n", "holds no key"),
        (b"half-a-ke", "line 1 is no key"),
        (f"{KEY}\n{KEY[:-3]}\n".encode(), "line 2 is no key"),
        (b"\xff\xfe", "it is no text"),
    ],
    ids=["empty", "comment", "short", "second line", "no text"],
)
async def test_a_damaged_key_file_is_left_as_it_is(file: Path, content: bytes, fault: str) -> None:
    keys = file.with_name("secret.keys")
    keys.write_bytes(content)
    with pytest.raises(SecretsUnreadable, match=fault) as told:
        await open_registry(file).__aenter__()
    assert "half-a-ke" not in str(told.value)
    assert keys.read_bytes() == content


async def test_a_key_file_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for keys_file in (tmp_path / "taken" / "secret.keys", tmp_path):
        with pytest.raises(SecretsUnreadable, match="cannot be") as told:
            await open_registry(tmp_path / "registry.db", keys_file=keys_file).__aenter__()
        assert "\n" not in str(told.value)


# Rotation


async def test_rotation_takes_a_new_key_and_keeps_the_old(file: Path) -> None:
    async with open_registry(file) as registry, open_registry(file) as beside:
        application, abonnement = await fill(registry)
        (old,) = keys_in(file)
        assert await registry.rotate_secrets(progress=lambda done, all_: None) == 3
        new, kept = keys_in(file)
        assert kept == old != new
        assert stat.S_IMODE(file.with_name("secret.keys").stat().st_mode) == 0o600

        # One that was running knows the new key as soon as it meets it, and encrypts with it.
        found = await everything(beside)
        assert (found.applications, found.abonnementen, found.number) == ((application,), (abonnement,), 2)
        await beside.add_abonnement(an_abonnement())
        assert (await registry.check_secrets()).in_use == {key_id(new): 4}
    file.with_name("secret.keys").write_text(new + "\n")
    assert len((await look(file)).abonnementen) == 2
    assert f"nrc1.{key_id(old)}".encode() not in on_disk(file)


async def test_rotation_takes_what_a_callback_asks_for_along(file: Path) -> None:
    made = Authority.new().issue("nrc")
    asked = CallbackAuth.model_validate(
        {
            "header": {"name": "X-Key", "value": "never-on-disk-key"},
            "clientCertificate": {"certificate": made.pem, "key": made.key_pem},
        }
    )
    async with open_registry(file) as registry:
        abonnement = await registry.add_abonnement(replace(an_abonnement(), callback_auth=asked))
        assert await registry.rotate_secrets(progress=lambda done, all_: None) == 2
        assert (await registry.check_secrets()).in_use == {key_id(keys_in(file)[0]): 2}
    file.with_name("secret.keys").write_text(keys_in(file)[0] + "\n")
    assert (await look(file)).abonnementen == (abonnement,)
    assert made.key_pem.split("\n")[1].encode() not in on_disk(file)


async def test_one_that_runs_encrypts_with_the_new_key_before_it_met_it(file: Path) -> None:
    async with open_registry(file) as registry, open_registry(file) as beside:
        await fill(registry)
        await registry.rotate_secrets(progress=lambda done, all_: None)
        await beside.add_abonnement(an_abonnement())
        assert (await registry.check_secrets()).in_use == {key_id(keys_in(file)[0]): 4}


async def test_rotation_with_given_keys_takes_the_first(file: Path) -> None:
    async with open_registry(file, secret_keys=[KEY]) as registry:
        await fill(registry)
    async with open_registry(file, secret_keys=[OTHER_KEY, KEY]) as registry:
        assert await registry.rotate_secrets(progress=lambda done, all_: None) == 3
    async with open_registry(file, secret_keys=[OTHER_KEY]) as registry:
        assert (await registry.check_secrets()).in_use == {key_id(OTHER_KEY): 3}
    assert not file.with_name("secret.keys").exists()


async def test_rotation_is_all_or_nothing_and_tells_how_far_it_is(file: Path) -> None:
    told: list[tuple[int, int]] = []

    def fail(done: int, all_: int) -> None:
        told.append((done, all_))
        if done == 2000:
            raise RegistryError("the plug is pulled")

    async with open_registry(file, secret_keys=[KEY]) as registry:
        await asyncio.gather(*(registry.add_abonnement(an_abonnement(f"Bearer {n}")) for n in range(2001)))
    async with open_registry(file, secret_keys=[OTHER_KEY, KEY]) as registry:
        with pytest.raises(RegistryError, match="plug"):
            await registry.rotate_secrets(progress=fail)
        assert (await registry.check_secrets()).in_use == {key_id(KEY): 2001}
    assert told == [(1000, 2001), (2000, 2001)]


# Up from plain


@pytest.fixture
def plain(file: Path) -> Path:
    connection = sqlite3.connect(file)
    connection.executescript(PLAIN.read_text())
    connection.close()
    return file


async def test_a_plain_registry_is_encrypted(plain: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert b"plain-secret-of-zac" in on_disk(plain), "or this test shows nothing"
    found = await look(plain)

    secrets = {each.client_id: (each.secret, each.old_secret) for each in found.applications}
    assert secrets == {
        "zac": ("plain-secret-of-zac", ""),
        "drc": ("plain-secret-of-drc", "plain-old-secret-of-drc"),
    }
    auths = {each.uuid: each.auth for each in found.abonnementen}
    assert auths == {UUID(int=n): f"Bearer plain-auth-{n}" for n in (2, 3, 4)}
    assert (found.number, found.kanalen[0].naam, found.gone_applications) == (8, "zaken", {"gone"})
    assert b"plain-" not in on_disk(plain)

    copy = copy_name(plain, "0004_encrypted")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert ask(copy, "SELECT secret FROM application WHERE client_id = 'zac'") == [("plain-secret-of-zac",)]
    assert ask(copy, "PRAGMA integrity_check") == [("ok",)]
    names = {path.name.removesuffix("-wal").removesuffix("-shm") for path in plain.parent.iterdir()}
    assert names == {"registry.db", "secret.keys", copy.name}

    told = "".join(capfd.readouterr())
    assert "registry upgraded" in told
    assert "remove it once all works" in told
    assert "plain-" not in told


async def test_a_plain_registry_with_given_keys(plain: Path) -> None:
    async with open_registry(plain, secret_keys=[KEY]) as registry:
        assert (await registry.check_secrets()).in_use == {key_id(KEY): 6}
    assert not plain.with_name("secret.keys").exists()


async def test_a_copy_is_made_once_and_not_of_a_new_registry(plain: Path, tmp_path: Path) -> None:
    await look(plain)
    copy = copy_name(plain, "0004_encrypted")
    made = copy.stat().st_mtime_ns
    await look(plain)
    assert copy.stat().st_mtime_ns == made
    new = tmp_path / "new" / "registry.db"
    await look(new)
    assert {path.name for path in new.parent.iterdir()} == {"registry.db", "secret.keys"}


async def test_the_copy_holds_what_was_still_in_the_write_ahead_log(plain: Path) -> None:
    other = sqlite3.connect(plain, isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("UPDATE application SET label = 'in the log' WHERE client_id = 'zac'")
    await look(plain)
    other.close()
    found = ask(copy_name(plain, "0004_encrypted"), "SELECT label FROM application WHERE client_id = 'zac'")
    assert found == [("in the log",)]


async def test_no_copy_no_upgrade(plain: Path) -> None:
    copy_name(plain, "0004_encrypted").mkdir()
    with pytest.raises(
        RegistryError, match=r"before-0004_encrypted, cannot be made .*nothing was changed"
    ) as told:
        await open_registry(plain).__aenter__()
    assert "\n" not in str(told.value)
    assert ask(plain, "SELECT secret FROM application WHERE client_id = 'zac'") == [("plain-secret-of-zac",)]
    assert not list(plain.parent.glob("*.new"))


async def test_no_room_for_the_copy_no_upgrade(plain: Path) -> None:
    """In a process of its own: the limit is a process's."""
    script = """
import asyncio, resource, sys
from pathlib import Path
from schemas.errors import RegistryError
from store.opening import open_registry

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    try:
        await open_registry(Path(sys.argv[1])).__aenter__()
    except RegistryError as error:
        print(error)

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(plain),
        cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert b"cannot be made beside it" in output.splitlines()[-1]
    assert b"nothing was changed" in output.splitlines()[-1]
    assert ask(plain, "SELECT secret FROM application WHERE client_id = 'zac'") == [("plain-secret-of-zac",)]
    assert not list(plain.parent.glob("*.before-*"))


async def test_two_processes_upgrade_once(plain: Path) -> None:
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), str(plain), "add", f"k{n}",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        for n in range(2)
    ]  # fmt: skip
    answers = [await worker.communicate() for worker in workers]
    assert sorted(out.strip() for out, _ in answers) == [b"10", b"9"]
    assert b"".join(err for _, err in answers).count(b'"registry upgraded"') == 1
    assert len((await look(plain)).abonnementen) == 3


# The vault by itself


def test_no_two_places_are_one(file: Path) -> None:
    vault = Vault([KEY], file)
    vault.open(())
    assert vault.unseal(vault.seal("é\0", place("a", "b", "c")), place("a", "b", "c")) == "é\0"
    with pytest.raises(SecretsUnreadable):
        vault.unseal(
            vault.seal("x", place("application", "secret", "a")), place("application", "secret", "A")
        )
