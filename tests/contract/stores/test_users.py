"""What any registry store must do with users of the console and their sessions (store/users.py)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from schemas.errors import Conflict
from schemas.user import Role, Session, User
from store.registry import Registry
from store.users import Users
from tests.contract.stores.opened import registry_in

ANNA = User("anna", "hash of anna", Role.BEHEERDER, made=1.5)


@pytest.fixture
def users(registry: Registry) -> Users:
    return registry.users


def a_session(key: str, user: str = "anna", *, began: float = 10.0, seen: float = 20.0) -> Session:
    return Session(key, user, began, seen, "10.0.0.1")


async def test_a_user_is_kept_as_given_also_after_opening_again(address: str) -> None:
    whole = User("anna", "hash", Role.ADMIN, made=1.5, failures=3, locked_until=9.5, logged_in=4.0)
    async with registry_in(address) as registry:
        assert await registry.users.every() == ()
        await registry.users.add(whole)
        assert await registry.change_number() == 0, "not a change of the registry"
    async with registry_in(address) as registry:
        await registry.users.add(replace(ANNA, name="aad"))
        assert await registry.users.every() == (replace(ANNA, name="aad"), whole)
        assert await registry.users.user("anna") == whole
        assert await registry.users.user("nobody") is None


async def test_a_name_is_given_once(users: Users) -> None:
    await users.add(ANNA)
    with pytest.raises(Conflict, match="anna"):
        await users.add(replace(ANNA, role=Role.ADMIN))
    assert await users.user("anna") == ANNA


async def test_of_several_first_users_there_is_one(address: str) -> None:
    async with registry_in(address) as one, registry_in(address) as other:
        adding = [
            (one, other)[number % 2].users.add(replace(ANNA, name=f"admin{number}"), only_first=True)
            for number in range(6)
        ]
        added = await asyncio.gather(*adding, return_exceptions=True)
        assert sum(each is None for each in added) == 1
        assert sum(isinstance(each, Conflict) for each in added) == 5
        assert len(await one.users.every()) == 1


async def test_changes_at_once_all_count(address: str) -> None:
    async with registry_in(address) as one, registry_in(address) as other:
        await one.users.add(ANNA)
        failing = [
            (one, other)[number % 2].users.change(
                "anna", lambda user: replace(user, failures=user.failures + 1)
            )
            for number in range(20)
        ]
        await asyncio.gather(*failing)
        changed = await one.users.user("anna")
        assert changed is not None
        assert changed.failures == 20


async def test_a_change_keeps_the_name_and_nothing_when_it_raises(users: Users) -> None:
    await users.add(ANNA)
    assert (await users.change("anna", lambda user: replace(user, name="other"))).name == "anna"

    def fails(user: User) -> User:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await users.change("anna", fails)
    assert await users.every() == (ANNA,)
    with pytest.raises(Conflict, match="nobody"):
        await users.change("nobody", lambda user: user)


async def test_a_session_has_its_user_as_it_is_now(users: Users) -> None:
    await users.add(ANNA)
    session = a_session("k")
    await users.begin_session(session)
    assert await users.session("k") == (session, ANNA)
    changed = await users.change("anna", lambda user: replace(user, role=Role.LEZER))
    assert await users.session("k") == (session, changed)
    assert await users.session("other") is None
    await users.note_seen("k", 50.0)
    await users.note_seen("k", 40.0)  # a slower request, that came first
    assert await users.session("k") == (replace(session, seen=50.0), changed)


async def test_no_session_begins_for_who_is_gone(users: Users) -> None:
    with pytest.raises(Conflict, match="anna"):
        await users.begin_session(a_session("k"))
    await users.add(ANNA)
    await users.begin_session(a_session("k"))
    assert await users.remove("anna")
    assert not await users.remove("anna")
    assert await users.session("k") is None
    await users.add(ANNA)
    assert await users.session("k") is None, "a user of the same name is another one"


async def test_another_password_ends_every_session_of_that_user(users: Users) -> None:
    await users.add(ANNA)
    await users.add(replace(ANNA, name="aad"))
    for key, name in (("a", "anna"), ("b", "anna"), ("c", "aad")):
        await users.begin_session(a_session(key, name))
    await users.change("anna", lambda user: replace(user, failures=1))
    assert await users.session("a") is not None
    await users.change("anna", lambda user: replace(user, password="another"))
    assert [await users.session(key) is not None for key in "abc"] == [False, False, True]


async def test_sessions_end_one_by_one_or_all_of_a_user(users: Users) -> None:
    await users.add(ANNA)
    await users.add(replace(ANNA, name="aad"))
    for key, name in (("a", "anna"), ("b", "anna"), ("c", "anna"), ("d", "aad")):
        await users.begin_session(a_session(key, name))
    assert await users.end_session("a")
    assert not await users.end_session("a")
    assert await users.end_sessions("anna") == 2
    assert await users.end_sessions("anna") == 0
    assert await users.session("d") is not None


async def test_old_sessions_end(users: Users) -> None:
    await users.add(ANNA)
    for key, began, seen in (("idle", 90.0, 99.0), ("long", 9.0, 200.0), ("good", 90.0, 100.0)):
        await users.begin_session(a_session(key, began=began, seen=seen))
    assert await users.count_sessions(seen_after=100.0, begun_after=10.0) == 1
    assert await users.count_sessions(seen_after=0.0, begun_after=0.0) == 3
    assert await users.end_old_sessions(seen_before=100.0, begun_before=10.0) == 2
    assert await users.session("good") is not None


async def test_who_logs_in_by_openid_connect_is_kept_with_what_their_provider_needs(users: Users) -> None:
    name = "https://idp.example/realms/gemeente#7f3a"
    user = User(name, "", Role.LEZER, made=1.0, issuer="https://idp.example/realms/gemeente", shown="anna")
    await users.add(user)
    await users.add(ANNA)
    session = replace(a_session("k", name), id_token="a.b.c")
    await users.begin_session(session)
    await users.begin_session(a_session("other"))
    assert await users.session("k") == (session, user)
    changed = await users.change(name, lambda user: replace(user, role=Role.ADMIN, shown="anna de vries"))
    assert await users.session("k") == (session, changed), "its role changed, not its password"
    assert await users.user("anna") == ANNA
    assert await users.end_sessions(name) == 1
    assert await users.session("other") is not None
