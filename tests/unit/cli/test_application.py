"""`nrc application …` on a real registry file."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from pathlib import Path

import pytest

from schemas.abonnement import State
from schemas.application import Application, Scope
from store.opening import open_registry
from store.registry import Changes
from store.secret_uses import SecretUse, UsedSecret
from tests.command import make_registry, nrc
from tests.make import an_abonnement

BOTH = frozenset(Scope)


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> None:
    make_registry(tmp_path)


def registry(folder: Path) -> Changes:
    """Everything in the registry."""

    async def look() -> Changes:
        async with open_registry(folder / "registry.db") as opened:
            return await opened.changes_since(0)

    return asyncio.run(look())


def application(folder: Path, client_id: str = "zac") -> Application:
    (found,) = (each for each in registry(folder).applications if each.client_id == client_id)
    return found


def subscribe(folder: Path, client_id: str) -> str:
    """The UUID of a new abonnement of this application."""
    from dataclasses import replace

    new = replace(an_abonnement(), client_id=client_id)

    async def add() -> None:
        async with open_registry(folder / "registry.db") as opened:
            await opened.add_abonnement(new)

    asyncio.run(add())
    return str(new.uuid)


def test_add_shows_a_new_secret_once(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "application", "add", "zac", "--label", "Zaakapp é", "--scope", "publiceren")
    kept = application(tmp_path)
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "client_id: zac",
        f"secret:    {kept.secret}",
        "scopes:    notificaties.publiceren",
    ]
    assert kept.secret not in ran.err
    assert len(kept.secret) >= 43
    assert (kept.label, kept.scopes, kept.scopes_from_token) == (
        "Zaakapp é",
        frozenset({Scope.PUBLICEREN}),
        False,
    )
    other = nrc(tmp_path, "application", "add", "drc", "--scope", "publiceren")
    assert kept.secret not in other.out


def test_add_in_json(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "application", "add", "zac", "--scope", "consumeren", "--json")
    assert ran.json() == {
        "clientId": "zac",
        "label": "",
        "scopes": ["notificaties.consumeren"],
        "scopesFromToken": False,
        "scopesFromAc": False,
        "oldSecretUntil": None,
        "secret": application(tmp_path).secret,
    }


@pytest.mark.parametrize(
    "spelled",
    ["publiceren", "notificaties.publiceren", "notificaties.scopes.publiceren", "scopes.publiceren"],
)
def test_a_scope_in_every_spelling(tmp_path: Path, spelled: str) -> None:
    assert nrc(tmp_path, "application", "add", "zac", "--scope", spelled).code == 0
    assert application(tmp_path).scopes == {Scope.PUBLICEREN}


def test_an_unknown_scope(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "application", "add", "zac", "--scope", "beheren")
    assert ran.code == 2
    assert "publiceren and consumeren" in ran.err


@pytest.mark.parametrize(
    "arguments, stdin", [(["--secret", "geheim"], None), (["--secret", "-"], b"geheim\n")]
)
def test_a_given_secret_is_not_printed(tmp_path: Path, arguments: list[str], stdin: bytes | None) -> None:
    ran = nrc(tmp_path, "application", "add", "zac", "--scope", "publiceren", *arguments, stdin=stdin)
    assert ran.code == 0
    assert application(tmp_path).secret == "geheim"
    assert "geheim" not in ran.out + ran.err
    assert "shorter than 32 bytes" in ran.err
    long = nrc(tmp_path, "application", "add", "drc", "--secret", "x" * 32, "--scope", "publiceren")
    assert "shorter" not in long.err


@pytest.mark.parametrize("secret", ["", "  ", "\udc80"])
def test_a_secret_that_is_none(tmp_path: Path, secret: str) -> None:
    assert nrc(tmp_path, "application", "add", "zac", "--secret", secret).code == 2
    assert registry(tmp_path).applications == ()


@pytest.mark.parametrize("client_id", ["", " ", "a\nb", "\x1b[31m", "x" * 256, "\udc80"])
def test_a_client_id_that_is_none(tmp_path: Path, client_id: str) -> None:
    assert nrc(tmp_path, "application", "add", client_id).code == 2


def test_an_application_that_may_do_nothing_is_said_to(tmp_path: Path) -> None:
    assert "may do nothing yet" in nrc(tmp_path, "application", "add", "zac").err
    ran = nrc(tmp_path, "application", "add", "drc", "--scopes-from-token")
    assert "may do nothing" not in ran.err
    assert application(tmp_path, "drc").scopes_from_token
    both = nrc(tmp_path, "application", "add", "x", "--scopes-from-token", "--scope", "publiceren")
    assert both.code == 2


def test_a_client_id_that_is_taken(tmp_path: Path) -> None:
    nrc(tmp_path, "application", "add", "zac", "--secret", "first")
    ran = nrc(tmp_path, "application", "add", "zac")
    assert (ran.code, ran.out) == (1, "")
    assert "rotate zac" in ran.err
    assert application(tmp_path).secret == "first"


def test_without_a_broker_the_write_stands_and_it_says_so(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "application", "add", "zac", "--scope", "publiceren")
    assert ran.code == 0
    assert "this registry is empty" in ran.err
    assert "NRC_REFRESH_INTERVAL (10 s)" in ran.err
    away = nrc(
        tmp_path,
        "application",
        "grant",
        "zac",
        "consumeren",
        env={"NRC_AMQP_URL": "amqp://u:pw@127.0.0.1:1/"},
    )
    assert away.code == 0
    assert "127.0.0.1:1" in away.err
    assert "pw" not in away.err
    assert "this registry is empty" not in away.err


def test_list_shows_no_secrets(tmp_path: Path) -> None:
    for client_id in ("zac", "drc"):
        nrc(tmp_path, "application", "add", client_id, "--scope", "consumeren", "--label", "long label " * 30)
    subscribe(tmp_path, "zac")
    nrc(tmp_path, "application", "rotate", "zac", "--keep-old", "1h")
    plain, as_json = nrc(tmp_path, "application", "list"), nrc(tmp_path, "application", "list", "--json")
    header, drc, zac = plain.out.splitlines()
    assert header.split()[:3] == ["CLIENT_ID", "LABEL", "SCOPES"]
    assert ("long label " * 30).strip() in zac, "not cut off when it is not for a terminal"
    assert [(each["clientId"], each["abonnementen"]) for each in as_json.json()] == [("drc", 0), ("zac", 1)]
    assert as_json.json()[1]["oldSecretUntil"] in nrc(tmp_path, "application", "list", "--wide").out
    assert drc.startswith("drc")
    for each in registry(tmp_path).applications:
        for secret in filter(None, (each.secret, each.old_secret)):
            assert secret not in plain.out + as_json.out
    assert "\x1b" not in plain.out


def test_list_of_none(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "application", "list")
    assert (ran.code, ran.out) == (0, "")
    assert "nrc application add" in ran.err
    assert nrc(tmp_path, "application", "list", "--json").json() == []


def test_grant_and_revoke(tmp_path: Path) -> None:
    nrc(tmp_path, "application", "add", "zac", "--secret", "s")
    granted = nrc(tmp_path, "application", "grant", "zac", "publiceren", "notificaties.consumeren")
    assert granted.out == "zac: notificaties.consumeren, notificaties.publiceren\n"
    assert application(tmp_path).scopes == BOTH
    nrc(tmp_path, "application", "revoke", "zac", "publiceren")
    assert application(tmp_path).scopes == {Scope.CONSUMEREN}
    assert application(tmp_path).secret == "s"
    nrc(tmp_path, "application", "add", "drc", "--scopes-from-token")
    assert nrc(tmp_path, "application", "grant", "drc", "publiceren").code == 2
    assert nrc(tmp_path, "application", "grant", "nobody", "publiceren").code == 2


def test_remove(tmp_path: Path) -> None:
    nrc(tmp_path, "application", "add", "zac")
    ran = nrc(tmp_path, "application", "remove", "zac")
    assert (ran.code, ran.out) == (0, "zac removed\n")
    assert registry(tmp_path).applications == ()
    again = nrc(tmp_path, "application", "remove", "zac")
    assert (again.code, again.err) == (1, "nrc: there is no application 'zac'.\n")


def test_remove_refuses_while_it_owns_abonnementen(tmp_path: Path) -> None:
    for client_id in ("zac", "drc"):
        nrc(tmp_path, "application", "add", client_id)
    uuid = subscribe(tmp_path, "zac")
    ran = nrc(tmp_path, "application", "remove", "zac")
    assert ran.code == 1
    assert "--with-abonnementen, or --give-to" in ran.err
    assert nrc(tmp_path, "application", "remove", "zac", "--with-abonnementen", "--give-to", "drc").code == 2
    assert nrc(tmp_path, "application", "remove", "zac", "--give-to", "nobody").code == 1
    assert len(registry(tmp_path).applications) == 2

    assert nrc(tmp_path, "application", "remove", "zac", "--keep-auth").code == 2
    given = nrc(tmp_path, "application", "remove", "zac", "--give-to", "drc")
    assert given.out == (
        "zac removed; 1 abonnement(en) given to drc, suspended until that sets its own auth\n"
    )
    (now,) = registry(tmp_path).abonnementen
    assert (str(now.uuid), now.client_id, now.auth, now.state) == (uuid, "drc", "", State.SUSPENDED)
    refused = nrc(tmp_path, "abonnement", "resume", uuid)
    assert refused.code == 2
    assert "has no auth since it was given to another application" in refused.err
    unsure = nrc(tmp_path, "application", "remove", "drc", "--with-abonnementen")
    assert unsure.code == 2
    assert "an unknown number of notificaties wait: --keep keeps" in unsure.err
    assert len(registry(tmp_path).applications) == 1
    taken = nrc(tmp_path, "application", "remove", "drc", "--with-abonnementen", "--yes")
    assert taken.out == "drc removed; 1 abonnement(en) removed\n"
    assert registry(tmp_path).abonnementen == ()


def test_rotate_without_keeping_the_old_secret(tmp_path: Path) -> None:
    nrc(tmp_path, "application", "add", "zac", "--secret", "old", "--label", "L", "--scope", "publiceren")
    ran = nrc(tmp_path, "application", "rotate", "zac")
    changed = application(tmp_path)
    assert f"secret:    {changed.secret}" in ran.out
    assert "old" not in ran.out
    assert (changed.old_secret, changed.label, changed.scopes) == ("", "L", {Scope.PUBLICEREN})


def test_rotate_keeping_the_old_secret_for_a_while(tmp_path: Path) -> None:
    nrc(tmp_path, "application", "add", "zac", "--secret", "old")
    before = time.time()
    ran = nrc(tmp_path, "application", "rotate", "zac", "--secret", "new", "--keep-old", "24h", "--json")
    changed = application(tmp_path)
    assert (changed.secret, changed.old_secret) == ("new", "old")
    assert before + 86400 <= changed.old_secret_until <= time.time() + 86400
    assert "secret" not in ran.json()
    until = datetime.fromisoformat(ran.json()["oldSecretUntil"]).timestamp()
    assert abs(until - changed.old_secret_until) <= 1
    assert nrc(tmp_path, "application", "rotate", "nobody").code == 2


def use(folder: Path, secret: str, *, ago: float) -> None:
    """A gateway noted a use of this secret."""
    used = UsedSecret("zac", secret, SecretUse(time.time() - ago, "10.0.0.5", "agent/1.0 \x1b[31m"))

    async def note() -> None:
        async with open_registry(folder / "registry.db") as opened:
            await opened.note_secret_uses([used])

    asyncio.run(note())


def test_show_tells_who_uses_which_secret_and_never_the_secrets(tmp_path: Path) -> None:
    nrc(tmp_path, "application", "add", "zac", "--label", "Zaakapp", "--scope", "publiceren")
    assert "secret:       no use seen" in nrc(tmp_path, "application", "show", "zac").out
    first = application(tmp_path).secret
    use(tmp_path, first, ago=190)
    nrc(tmp_path, "application", "rotate", "zac", "--keep-old", "24h")
    ran = nrc(tmp_path, "application", "show", "zac")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[:5] == [
        "client_id:    zac",
        "label:        Zaakapp",
        "scopes:       notificaties.publiceren",
        "abonnementen: 0",
        "secret:       no use seen",
    ]
    assert lines[5].startswith("old secret:   counts until ")
    assert "; last used 3m ago, from 10.0.0.5 (agent/1.0 " in lines[5]
    assert "\x1b" not in ran.out
    told = nrc(tmp_path, "application", "show", "zac", "--json")
    facts = told.json()
    assert (facts["secretUsed"], facts["oldSecretUsed"]["remote"]) == (None, "10.0.0.5")
    kept = application(tmp_path)
    assert kept.old_secret == first
    assert not any(secret in ran.out + told.out for secret in (kept.secret, kept.old_secret))
    gone = nrc(tmp_path, "application", "show", "nobody")
    assert (gone.code, "there is no application 'nobody'" in gone.err) == (2, True)


def test_an_old_secret_that_is_still_used_goes_only_when_that_is_meant(tmp_path: Path) -> None:
    nrc(tmp_path, "application", "add", "zac")
    none = nrc(tmp_path, "application", "revoke-old", "zac")
    assert (none.code, "has no old secret that counts" in none.err) == (2, True)
    first = application(tmp_path).secret
    nrc(tmp_path, "application", "rotate", "zac", "--keep-old", "24h")
    use(tmp_path, first, ago=60)
    refused = nrc(tmp_path, "application", "revoke-old", "zac")
    assert refused.code == 2
    assert "was used 1m ago, from 10.0.0.5" in refused.err
    assert "--yes revokes it" in refused.err
    assert application(tmp_path).old_secret == first
    assert nrc(tmp_path, "application", "revoke-old", "zac", "--yes").code == 0
    assert application(tmp_path).old_secret == ""

    second = application(tmp_path).secret
    use(tmp_path, second, ago=2 * 24 * 3600)
    nrc(tmp_path, "application", "rotate", "zac", "--keep-old", "24h")
    assert nrc(tmp_path, "application", "revoke-old", "zac").code == 0, "nobody has used it for two days"
