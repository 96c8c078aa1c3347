"""What wrong and right passwords make of a user, which are taken, and that few are hashed at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from operating.passwords import MOST_WAITING, PasswordRefused, Passwords, check_password, new_password
from operating.users import FREE_FAILURES, after_failure, after_login
from schemas.errors import Overloaded
from schemas.user import MAX_PASSWORD, Role, User, read_user_name

ANNA = User("anna", "hash", Role.LEZER, made=0.0)


def locked_for(failures: int) -> float:
    """Seconds for which a user with so many failures is locked out by one more."""
    return max(after_failure(replace(ANNA, failures=failures), now=1000.0).locked_until - 1000.0, 0.0)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (3, 0), (4, 60), (5, 120), (6, 240), (7, 480), (10, 3600), (1_000_000, 3600)],
)
def test_a_user_is_locked_out_for_longer_with_each_wrong_password(failures: int, seconds: float) -> None:
    assert locked_for(failures) == seconds
    assert FREE_FAILURES == 5


def test_the_right_password_forgets_the_wrong_ones() -> None:
    locked = replace(ANNA, failures=9, locked_until=500.0)
    assert after_login(locked, now=1000.0) == replace(ANNA, logged_in=1000.0)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Anna ", "anna"),
        ("a.b-c_d@example.nl", "a.b-c_d@example.nl"),
        ("x" * 64, "x" * 64),
        *((text, None) for text in ("", " ", "a b", "é", "-a", "x" * 65, "a\n", "a/b", "\x00")),
    ],
)
def test_names(text: str, name: str | None) -> None:
    expected = name if text != "a\n" else "a"
    assert read_user_name(text) == expected


@pytest.mark.parametrize(
    "password", ["", "x" * 11, "aaaaaaaaaaaaaaa", "abababababab", "anna and more 12", "ANNA and more 12"]
)
def test_passwords_that_are_not_taken(password: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        check_password(password, name="anna")
    assert str(refused.value)
    assert refused.value.dutch


def test_passwords_that_are_taken() -> None:
    for password in ("correct horse", "ünïcødé is good", "x1y2z3" * 100, new_password()):
        check_password(password, name="anna")
    with pytest.raises(PasswordRefused):
        check_password("x1y2z3" * MAX_PASSWORD, name="anna")
    assert len({new_password() for _ in range(100)}) == 100


async def test_a_password_fits_its_own_hash_only() -> None:
    async with Passwords() as passwords:
        hashed = await passwords.hashed("correct horse")
        assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await passwords.fits(hashed, "correct horse")
        assert not await passwords.fits(hashed, "correct horsf")
        assert not await passwords.fits(None, "correct horse")
        assert not await passwords.fits("no hash", "correct horse")


async def test_more_than_may_wait_are_refused_at_once() -> None:
    async with Passwords() as passwords:
        asked = [passwords.hashed("correct horse") for _ in range(MOST_WAITING + 3)]
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, Overloaded) for each in done) == 3
        assert sum(isinstance(each, str) for each in done) == MOST_WAITING
        assert await passwords.hashed("and again")
