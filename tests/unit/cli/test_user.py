"""`nrc user …` on a real registry file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from operating.passwords import Passwords
from schemas.user import Role, Session, User
from store.opening import open_registry
from tests.command import make_registry, nrc

GIVEN = "correct horse 9"


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> None:
    make_registry(tmp_path)


def user(folder: Path, name: str = "anna") -> User | None:
    async def look() -> User | None:
        async with open_registry(folder / "registry.db") as opened:
            return await opened.users.user(name)

    return asyncio.run(look())


def fits(folder: Path, password: str) -> bool:
    """Whether this is anna's password."""

    async def compare() -> bool:
        async with open_registry(folder / "registry.db") as opened, Passwords() as passwords:
            known = await opened.users.user("anna")
            assert known is not None
            return await passwords.fits(known.password, password)

    return asyncio.run(compare())


def log_in(folder: Path, *keys: str) -> None:
    """Sessions of anna."""

    async def begin() -> None:
        async with open_registry(folder / "registry.db") as opened:
            for key in keys:
                await opened.users.begin_session(Session(key, "anna", 0.0, 0.0))

    asyncio.run(begin())


def sessions(folder: Path, *keys: str) -> list[bool]:
    """Which of these are still there."""

    async def look() -> list[bool]:
        async with open_registry(folder / "registry.db") as opened:
            return [await opened.users.session(key) is not None for key in keys]

    return asyncio.run(look())


def test_add_shows_a_new_password_once(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "user", "add", "Anna", "--role", "beheerder")
    assert ran.code == 0, ran.err
    name, role, password = (line.partition(":")[2].strip() for line in ran.out.splitlines())
    assert (name, role) == ("anna", "beheerder")
    assert fits(tmp_path, password)
    assert not fits(tmp_path, password + "x")
    assert password not in (tmp_path / "operator.log").read_text()
    assert password.encode() not in (tmp_path / "registry.db").read_bytes()


def test_add_takes_a_password_from_standard_input(tmp_path: Path) -> None:
    ran = nrc(
        tmp_path, "user", "add", "anna", "--role", "lezer", "--password", "-", stdin=f"{GIVEN}\n".encode()
    )
    assert ran.code == 0, ran.err
    assert GIVEN not in ran.out
    assert fits(tmp_path, GIVEN)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "told"),
    [
        (["A B", "--role", "lezer"], "", 2, "is no name of a user"),
        (["anna"], "", 2, "--role"),
        (["anna", "--role", "boss"], "", 2, "there are lezer, beheerder, admin"),
        (["anna", "--role", "lezer", "--password", GIVEN], "", 2, "only - is taken"),
        (["anna", "--role", "lezer", "--password", "-"], "short\n", 2, "at least 12 characters"),
        (["anna", "--role", "lezer", "--password", "-"], "", 2, "at least 12 characters"),
        (["anna", "--role", "lezer", "--password", "-"], "anna is my name", 2, "easy to guess"),
    ],
)
def test_add_refuses(tmp_path: Path, arguments: list[str], stdin: str, code: int, told: str) -> None:
    ran = nrc(tmp_path, "user", "add", *arguments, stdin=stdin.encode())
    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err
    assert user(tmp_path) is None


def test_a_name_is_given_once(tmp_path: Path) -> None:
    assert nrc(tmp_path, "user", "add", "anna", "--role", "lezer").code == 0
    ran = nrc(tmp_path, "user", "add", "anna", "--role", "admin")
    assert (ran.code, ran.out) == (1, "")
    assert "there is a user 'anna' already" in ran.err


def test_list_role_and_remove(tmp_path: Path) -> None:
    empty = nrc(tmp_path, "user", "list")
    assert (empty.code, empty.out) == (0, "")
    assert "nrc user add" in empty.err
    nrc(tmp_path, "user", "add", "anna", "--role", "lezer")
    nrc(tmp_path, "user", "role", "anna", "admin")
    (listed,) = nrc(tmp_path, "user", "list", "--json").json()
    assert (listed["name"], listed["role"], listed["loggedIn"], listed["failures"]) == (
        *("anna", "admin"),
        *(None, 0),
    )
    assert "anna" in nrc(tmp_path, "user", "list").out
    log_in(tmp_path, "k")
    assert nrc(tmp_path, "user", "remove", "anna").out == "anna removed\n"
    assert user(tmp_path) is None
    assert sessions(tmp_path, "k") == [False]


def test_another_password_ends_sessions_and_the_lock(tmp_path: Path) -> None:
    nrc(tmp_path, "user", "add", "anna", "--role", "lezer")
    log_in(tmp_path, "a", "b")

    async def lock() -> None:
        async with open_registry(tmp_path / "registry.db") as opened:
            await opened.users.change(
                "anna", lambda known: User("anna", known.password, Role.LEZER, 0.0, 7, 9e9)
            )

    asyncio.run(lock())
    ran = nrc(tmp_path, "user", "password", "anna")
    assert ran.code == 0, ran.err
    changed = user(tmp_path)
    assert changed is not None
    assert (changed.failures, changed.locked_until) == (0, 0.0)
    assert fits(tmp_path, ran.out.rpartition(" ")[2].strip())
    assert sessions(tmp_path, "a", "b") == [False, False]


def test_logout(tmp_path: Path) -> None:
    nrc(tmp_path, "user", "add", "anna", "--role", "lezer")
    log_in(tmp_path, "a", "b")
    assert nrc(tmp_path, "user", "logout", "anna").out == "anna: 2 session(s) ended\n"
    assert sessions(tmp_path, "a", "b") == [False, False]


@pytest.mark.parametrize("command", ["remove x", "password x", "role x lezer", "logout x"])
def test_a_user_that_is_not_there(tmp_path: Path, command: str) -> None:
    ran = nrc(tmp_path, "user", *command.split())
    assert (ran.code, ran.out) == (1, "")
    assert "there is no user 'x'" in ran.err


def test_what_was_done_is_noted(tmp_path: Path) -> None:
    nrc(tmp_path, "user", "add", "anna", "--role", "lezer")
    for command in ("role anna admin", "password anna", "logout anna", "remove anna"):
        nrc(tmp_path, "user", *command.split())
    listed = nrc(tmp_path, "audit-trail", "--what", "user", "--json").json()
    assert [(each["act"], each["command"], each["facts"]["name"]) for each in listed] == [
        ("user removed", "user remove", "anna"),
        ("user logged out everywhere", "user logout", "anna"),
        ("password changed", "user password", "anna"),
        ("role changed", "user role", "anna"),
        ("user added", "user add", "anna"),
    ]


ISSUER = "https://idp.example/realms/gemeente"


def add_openid(folder: Path, subject: str, shown: str) -> str:
    """Somebody who logged in by OpenID Connect; returns the name."""
    name = f"{ISSUER}#{subject}"

    async def add() -> None:
        async with open_registry(folder / "registry.db") as registry:
            await registry.users.add(User(name, "", Role.LEZER, made=0.0, issuer=ISSUER, shown=shown))

    asyncio.run(add())
    return name


def test_who_logs_in_by_openid_connect_is_found_by_either_name(tmp_path: Path) -> None:
    nrc(tmp_path, "user", "add", "anna@gemeente.nl", "--role", "admin")
    first, second = add_openid(tmp_path, "1", "Bert"), add_openid(tmp_path, "2", "Bert")
    add_openid(tmp_path, "3", "anna@gemeente.nl")
    listed = nrc(tmp_path, "user", "list", "--json").json()
    assert {each["name"]: (each["shown"], each["issuer"]) for each in listed} == {
        "anna@gemeente.nl": (None, None),
        first: ("Bert", ISSUER),
        second: ("Bert", ISSUER),
        f"{ISSUER}#3": ("anna@gemeente.nl", ISSUER),
    }
    several = nrc(tmp_path, "user", "remove", "Bert")
    assert several.code != 0
    assert first in several.err
    assert second in several.err
    assert nrc(tmp_path, "user", "remove", second).out == "Bert (OpenID Connect) removed\n"
    assert nrc(tmp_path, "user", "logout", "Bert").out == "Bert (OpenID Connect): 0 session(s) ended\n"
    # A name means the user with a password first.
    assert nrc(tmp_path, "user", "role", "anna@gemeente.nl", "lezer").out == "anna@gemeente.nl: lezer\n"


@pytest.mark.parametrize("arguments", [("role", "Bert", "admin"), ("password", "Bert")])
def test_role_and_password_of_who_logs_in_by_openid_connect_are_not_set_here(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    nrc(tmp_path, "user", "add", "anna", "--role", "admin")
    add_openid(tmp_path, "1", "Bert")
    ran = nrc(tmp_path, "user", *arguments)
    assert ran.code == 2
    assert f"come from {ISSUER}" in ran.err


def test_a_user_with_a_password_is_told_when_these_are_off(tmp_path: Path) -> None:
    off = {
        "NRC_CONSOLE_PASSWORD_LOGIN": "false",
        "NRC_CONSOLE_PUBLIC_URL": "https://nrc.example.nl",
        "NRC_CONSOLE_OIDC_ISSUER": ISSUER,
        "NRC_CONSOLE_OIDC_CLIENT_ID": "nrc",
        "NRC_CONSOLE_OIDC_ROLES": "a=admin",
    }
    ran = nrc(tmp_path, "user", "add", "noodgeval", "--role", "admin", env=off)
    assert (ran.code, "password is off" in ran.err) == (0, True)
    assert "password is off" not in nrc(tmp_path, "user", "add", "anna", "--role", "admin").err
