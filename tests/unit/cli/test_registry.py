"""`nrc kanaal …` and `nrc abonnement …` on a real registry file."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.ids import new_id
from ledger.opening import open_ledger
from ledger.values import Attempt, Key, Outcome
from ledger.values import State as Delivery
from schemas.abonnement import Abonnement, Hold, State
from store.opening import open_registry
from store.registry import Changes, LastFailure
from tests.command import make_registry, nrc
from tests.make import a_kanaal, an_abonnement


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> None:
    make_registry(tmp_path)


def look(folder: Path) -> Changes:
    async def work() -> Changes:
        async with open_registry(folder / "registry.db") as registry:
            return await registry.changes_since(0)

    return asyncio.run(work())


@pytest.fixture
def kept(tmp_path: Path) -> Abonnement:
    """A suspended abonnement in the registry of `tmp_path`."""
    new = replace(
        an_abonnement(("zaken", {"bronorganisatie": "051845623", "zaaktype": "*"}), ("zaken", {})),
        auth="Bearer never-shown",
        state=State.SUSPENDED,
        state_reason="410 from \x1b[31mcallback",
    )

    async def work() -> Abonnement:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.add_kanaal(a_kanaal("zaken", "bronorganisatie", "zaaktype"))
            return await registry.add_abonnement(new)

    return asyncio.run(work())


@pytest.mark.parametrize("full", [True, False])
def test_what_output_that_goes_nowhere_does_not_stop(tmp_path: Path, kept: Abonnement, full: bool) -> None:
    async def add() -> Abonnement:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.set_state(kept.uuid, State.ACTIVE, "")
            return await registry.add_abonnement(replace(kept, uuid=uuid4(), state=State.ACTIVE))

    other = asyncio.run(add())
    ended, output = os.pipe()
    os.close(ended)
    if full:
        os.close(output)
        output = os.open("/dev/full", os.O_WRONLY)
    command = [sys.executable, "-u", "-m", "nrc", "abonnement", "suspend", str(kept.uuid), str(other.uuid)]
    env = {"NRC_STATE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    ran = subprocess.run(
        command, env=env, cwd=tmp_path, stdout=output, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(output)
    assert ran.returncode == 1
    assert {one.state for one in look(tmp_path).abonnementen} == {State.SUSPENDED}
    notes = [line for line in ran.stderr.splitlines() if not line.startswith("saved; ")]
    assert notes == (["nrc: standard output: No space left on device"] if full else [])


# Kanalen


def test_kanaal_add_and_list(tmp_path: Path) -> None:
    link = "https://example.com/zaken"
    added = nrc(
        tmp_path,
        "kanaal",
        "add",
        "zaken",
        "--filter",
        "zaak_type",
        "--filter",
        "b",
        "--documentatie-link",
        link,
    )
    (kanaal,) = look(tmp_path).kanalen
    assert (added.code, added.out) == (0, f"{kanaal.uuid}\n")
    assert kanaal.uuid.version == 4
    assert (kanaal.naam, kanaal.filters, kanaal.slots) == ("zaken", ("zaak_type", "b"), ("zaaktype", "b"))
    assert nrc(tmp_path, "kanaal", "list", "--json").json() == [
        {"uuid": str(kanaal.uuid), "naam": "zaken", "documentatieLink": link, "filters": ["zaak_type", "b"]}
    ]
    assert nrc(tmp_path, "kanaal", "list", "--wide").out.splitlines()[1].split() == [
        "zaken", "zaak_type,", "b", link, str(kanaal.uuid)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "arguments, fields",
    [
        ([""], ["naam"]),
        (["x" * 51, "--filter", ""], ["naam", "filters.0"]),
        (["zaken", "--documentatie-link", "nope"], ["documentatieLink"]),
        (["\udc80"], ["naam"]),
    ],
)
def test_a_kanaal_that_breaks_the_rules(tmp_path: Path, arguments: list[str], fields: list[str]) -> None:
    ran = nrc(tmp_path, "kanaal", "add", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert [line.split(": ")[1] for line in ran.err.splitlines()] == fields
    assert look(tmp_path).kanalen == ()


def test_a_kanaal_that_is_there(tmp_path: Path) -> None:
    nrc(tmp_path, "kanaal", "add", "zaken")
    ran = nrc(tmp_path, "kanaal", "add", "zaken")
    assert (ran.code, ran.err) == (1, "nrc: there is a kanaal called 'zaken' already.\n")


def test_kanaal_show(tmp_path: Path, kept: Abonnement) -> None:
    (kanaal,) = look(tmp_path).kanalen
    assert nrc(tmp_path, "kanaal", "show", "zaken").out.splitlines() == [
        "naam:             zaken",
        f"uuid:             {kanaal.uuid}",
        "documentatieLink: ",
        "filters:          bronorganisatie, zaaktype",
        "abonnementen:     1",
    ]
    assert nrc(tmp_path, "kanaal", "show", "zaken", "--json").json() == {
        "uuid": str(kanaal.uuid),
        "naam": "zaken",
        "documentatieLink": "",
        "filters": ["bronorganisatie", "zaaktype"],
        "abonnementen": [str(kept.uuid)],
    }


@pytest.mark.parametrize(
    "options, filters, link",
    [
        (["--documentatie-link", "https://example.com/b"], ("a", "b"), "https://example.com/b"),
        (["--documentatie-link", ""], ("a", "b"), ""),
        (["--filter", "c", "--filter", "a"], ("c", "a"), "https://example.com/a"),
        (["--no-filters"], (), "https://example.com/a"),
    ],
)
def test_kanaal_change(tmp_path: Path, options: list[str], filters: tuple[str, ...], link: str) -> None:
    """What is not named stays; filters are those that are given, and slots are only added."""
    given = ["--filter", "a", "--filter", "b", "--documentatie-link", "https://example.com/a"]
    nrc(tmp_path, "kanaal", "add", "zaken", *given)
    ran = nrc(tmp_path, "kanaal", "change", "zaken", *options)
    assert (ran.code, ran.out) == (0, "zaken changed\n")
    assert "NRC_REFRESH_INTERVAL" in ran.err
    (changed,) = look(tmp_path).kanalen
    assert (changed.filters, changed.documentatie_link) == (filters, link)
    assert changed.slots[:2] == ("a", "b")


@pytest.mark.parametrize(
    "options, said",
    [
        ([], "change what?"),
        (["--filter", "a", "--no-filters"], "give one of them"),
        (["--filter", ""], "filters.0: "),
        (["--documentatie-link", "nope"], "documentatieLink: "),
    ],
)
def test_a_change_of_a_kanaal_that_is_refused(tmp_path: Path, options: list[str], said: str) -> None:
    nrc(tmp_path, "kanaal", "add", "zaken", "--filter", "a")
    before = look(tmp_path)
    ran = nrc(tmp_path, "kanaal", "change", "zaken", *options)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert look(tmp_path) == before


def test_kanaal_remove(tmp_path: Path) -> None:
    nrc(tmp_path, "kanaal", "add", "zaken")
    nrc(tmp_path, "kanaal", "add", "documenten")
    ran = nrc(tmp_path, "kanaal", "remove", "zaken")
    assert (ran.code, ran.out) == (0, "zaken removed\n")
    assert "NRC_REFRESH_INTERVAL" in ran.err
    assert [each.naam for each in look(tmp_path).kanalen] == ["documenten"]


def test_a_kanaal_that_an_abonnement_uses_is_not_removed(tmp_path: Path, kept: Abonnement) -> None:
    ran = nrc(tmp_path, "kanaal", "remove", "zaken")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"nrc: kanaal zaken is used by 1 abonnement(en), which go first: {kept.uuid}\n"
    assert len(look(tmp_path).kanalen) == 1


@pytest.mark.parametrize("command", [["show", "x"], ["change", "x", "--no-filters"], ["remove", "x"]])
def test_an_unknown_kanaal(tmp_path: Path, command: list[str]) -> None:
    nrc(tmp_path, "kanaal", "add", "zaken")
    ran = nrc(tmp_path, "kanaal", *command)
    assert (ran.code, ran.err) == (2, "nrc: there is no kanaal 'x' (there are: zaken)\n")


def test_no_kanalen(tmp_path: Path) -> None:
    assert nrc(tmp_path, "kanaal", "list").out == ""
    assert nrc(tmp_path, "kanaal", "list", "--json").json() == []


# Abonnementen


def test_abonnement_list_remarks_on_what_is_seldom_meant(tmp_path: Path, kept: Abonnement) -> None:
    again = replace(kept, uuid=uuid4(), kanalen=kept.kanalen[::-1])
    deaf = replace(kept, uuid=uuid4(), callback_url="http://127.0.0.1:10/", kanalen=())
    elsewhere = replace(kept, uuid=uuid4(), callback_url="http://127.0.0.1:11/")

    async def add() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            for one in (again, deaf, elsewhere):
                await registry.add_abonnement(one)

    asyncio.run(add())
    lines = nrc(tmp_path, "abonnement", "list").out.splitlines()
    remarks = {
        line[:8]: line[lines[0].index("REMARK") : lines[0].index("CALLBACK")].strip() for line in lines[1:]
    }
    assert remarks == {
        str(kept.uuid)[:8]: f"same as {str(again.uuid)[:8]}",
        str(again.uuid)[:8]: f"same as {str(kept.uuid)[:8]}",
        str(deaf.uuid)[:8]: "no kanalen",
        str(elsewhere.uuid)[:8]: "",
    }
    assert "remark:      no kanalen\n" in nrc(tmp_path, "abonnement", "show", str(deaf.uuid)).out
    (shown,) = (
        one for one in nrc(tmp_path, "abonnement", "list", "--json").json() if one["uuid"] == str(again.uuid)
    )
    assert shown["sameAs"] == str(kept.uuid)


def test_abonnement_list(tmp_path: Path, kept: Abonnement) -> None:
    short = nrc(tmp_path, "abonnement", "list").out
    assert [line.split() for line in short.splitlines()] == [
        ["UUID", "APPLICATION", "STATE", "WAITING", "KANALEN", "CALLBACK"],
        [str(kept.uuid)[:8], "test", "suspended", "?", "zaken", "http://127.0.0.1:9/"],
    ]
    plain = nrc(tmp_path, "abonnement", "list", "--wide").out
    assert plain.splitlines()[1].split() == [
        str(kept.uuid), "test", "suspended", "(410", "from", "�[31mcallback)", "?", "zaken", "http://127.0.0.1:9/"
    ]  # fmt: skip
    (shown,) = nrc(tmp_path, "abonnement", "list", "--json").json()
    assert shown == {
        "uuid": str(kept.uuid),
        "clientId": "test",
        "callbackUrl": "http://127.0.0.1:9/",
        "state": "suspended",
        "stateReason": kept.state_reason,
        "heldSince": None,
        "probes": None,
        "nextProbe": None,
        "waiting": None,
        "oldest": None,
        "bytes": None,
        "retrying": 0,
        "nextRetry": None,
        "stuck": 0,
        "lastError": None,
        "sameAs": None,
        "options": {},
        "kanalen": [
            {"naam": "zaken", "filters": {"bronorganisatie": "051845623", "zaaktype": "*"}},
            {"naam": "zaken", "filters": {}},
        ],
    }
    assert nrc(tmp_path, "abonnement", "list", "--client", "test", "--json").json() == [shown]
    assert nrc(tmp_path, "abonnement", "list", "--client", "other", "--json").json() == []


def test_abonnement_show(tmp_path: Path, kept: Abonnement) -> None:
    ran = nrc(tmp_path, "abonnement", "show", str(kept.uuid))
    assert ran.out.splitlines() == [
        f"uuid:        {kept.uuid}",
        "application: test",
        "callbackUrl: http://127.0.0.1:9/",
        "state:       suspended (410 from �[31mcallback)",
        "kanaal:      zaken where bronorganisatie=051845623, zaaktype=*",
        "kanaal:      zaken",
    ]
    as_json = nrc(tmp_path, "abonnement", "show", str(kept.uuid), "--json")
    assert as_json.json()["uuid"] == str(kept.uuid)


def test_auth_is_never_shown(tmp_path: Path, kept: Abonnement) -> None:
    for command in (
        ["list"],
        ["list", "--json"],
        ["show", str(kept.uuid)],
        ["show", str(kept.uuid), "--json"],
    ):
        ran = nrc(tmp_path, "abonnement", *command)
        assert ran.code == 0
        assert "never-shown" not in ran.out + ran.err


def test_abonnement_resume(tmp_path: Path, kept: Abonnement) -> None:
    ran = nrc(tmp_path, "abonnement", "resume", str(kept.uuid))
    assert (ran.code, ran.out) == (0, f"{kept.uuid} active\n")
    assert "NRC_REFRESH_INTERVAL" in ran.err
    (resumed,) = look(tmp_path).abonnementen
    assert resumed == replace(kept, state=State.ACTIVE, state_reason="", change=3)
    again = nrc(tmp_path, "abonnement", "resume", str(kept.uuid))
    assert "active already" in again.err
    assert look(tmp_path).number == 3


def held(folder: Path, kept: Abonnement) -> Hold:
    """Hold it, as a deliverer does, with a failure noted."""
    hold = Hold(since=1e9, probes=3, next_probe=1e9 + 40)

    async def work() -> None:
        async with open_registry(folder / "registry.db") as registry:
            await registry.set_state(kept.uuid, State.ACTIVE, "")
            assert await registry.set_hold(
                kept.uuid, hold, "timeout", before=None, callback_url=kept.callback_url
            )
            await registry.note_failures({kept.uuid: LastFailure(1e9 + 1, "timeout: no \x1b[31mstatus")})

    asyncio.run(work())
    return hold


def test_abonnement_list_shows_a_hold(tmp_path: Path, kept: Abonnement) -> None:
    held(tmp_path, kept)
    days = int((time.time() - 1e9) // 86400)
    assert f" held {days}d " in nrc(tmp_path, "abonnement", "list").out
    ran = nrc(tmp_path, "abonnement", "list", "--wide")
    assert " ".join(ran.out.splitlines()[1].split()) == (
        f"{kept.uuid} test held since 09-09-2001 03:46:40 ? timeout: no �[31mstatus (09-09-2001 03:46:41) "
        "09-09-2001 03:47:20 zaken http://127.0.0.1:9/"
    )
    assert "what waits for them is not known: there is no ledger yet" in ran.err
    (shown,) = nrc(tmp_path, "abonnement", "list", "--json").json()
    assert (shown["state"], shown["heldSince"], shown["probes"], shown["nextProbe"]) == (
        "held", "2001-09-09T01:46:40Z", 3, "2001-09-09T01:47:20Z"
    )  # fmt: skip
    assert shown["lastError"] == {"at": "2001-09-09T01:46:41Z", "detail": "timeout: no \x1b[31mstatus"}
    assert "next probe:  09-09-2001 03:47:20" in nrc(tmp_path, "abonnement", "show", str(kept.uuid)).out


def test_abonnement_suspend(tmp_path: Path, kept: Abonnement) -> None:
    held(tmp_path, kept)
    ran = nrc(tmp_path, "abonnement", "suspend", str(kept.uuid), "--reason", "onderhoud")
    assert (ran.code, ran.out) == (0, f"{kept.uuid} suspended\n")
    assert "NRC_REFRESH_INTERVAL" in ran.err
    (suspended,) = look(tmp_path).abonnementen
    assert (suspended.state, suspended.state_reason, suspended.hold) == (State.SUSPENDED, "onderhoud", None)


def test_abonnement_probe(tmp_path: Path, kept: Abonnement) -> None:
    refused = nrc(tmp_path, "abonnement", "probe", str(kept.uuid))
    assert refused.code == 2
    assert "is suspended, and only a held one is probed" in refused.err
    hold = held(tmp_path, kept)
    ran = nrc(tmp_path, "abonnement", "probe", str(kept.uuid))
    assert (ran.code, ran.out) == (0, f"{kept.uuid} to be probed now\n")
    (probed,) = look(tmp_path).abonnementen
    assert probed.hold is not None
    assert abs(probed.hold.next_probe - time.time()) < 60
    assert replace(probed.hold, next_probe=hold.next_probe) == hold


def test_abonnement_give(tmp_path: Path, kept: Abonnement) -> None:
    refused = nrc(tmp_path, "abonnement", "give", str(kept.uuid), "--to", "zac")
    assert refused.code == 1
    assert refused.err == "nrc: there is no application 'zac' to give it to.\n"
    nrc(tmp_path, "application", "add", "zac")
    ran = nrc(tmp_path, "abonnement", "give", str(kept.uuid)[:8], "--to", "zac", "--reason", "a new supplier")
    assert ran.out == f"{kept.uuid} given to zac, suspended until that sets its own auth\n"
    (given,) = look(tmp_path).abonnementen
    assert (given.client_id, given.auth, given.state) == ("zac", "", State.SUSPENDED)
    noted = nrc(tmp_path, "audit-trail", "--application", "zac", "--what", "given", "--json").json()
    assert noted[0]["facts"] == {
        "abonnement": str(kept.uuid),
        "application": "zac",
        "given_by": "test",
        "auth": "removed",
        "reason": "a new supplier",
    }


def test_abonnement_give_with_what_its_callback_gets(tmp_path: Path, kept: Abonnement) -> None:
    nrc(tmp_path, "application", "add", "zac")
    ran = nrc(tmp_path, "abonnement", "give", str(kept.uuid), "--to", "zac", "--keep-auth")
    assert ran.out == f"{kept.uuid} given to zac\n"
    (given,) = look(tmp_path).abonnementen
    assert (given.client_id, given.auth, given.state) == ("zac", kept.auth, kept.state)
    noted = nrc(tmp_path, "audit-trail", "--application", "zac", "--what", "given", "--json").json()
    assert noted[0]["facts"]["auth"] == "kept"


def test_abonnement_test_says_what_the_callback_answered(tmp_path: Path, kept: Abonnement) -> None:
    ran = nrc(tmp_path, "abonnement", "test", str(kept.uuid), "--json")
    assert ran.code == 1
    assert ran.json() == {"taken": False, "status": None, "ms": ran.json()["ms"]}
    assert "no answer after" in nrc(tmp_path, "abonnement", "test", str(kept.uuid)).out
    noted = nrc(tmp_path, "audit-trail", "--what", "test message", "--json").json()
    assert [each["facts"] for each in noted] == [{"abonnement": str(kept.uuid)}] * 2
    assert "never-shown" not in ran.out + ran.err + str(noted)


def test_abonnement_remove(tmp_path: Path, kept: Abonnement) -> None:
    refused = nrc(tmp_path, "abonnement", "remove", str(kept.uuid), str(uuid4()))
    assert refused.code == 1
    unsure = nrc(tmp_path, "abonnement", "remove", str(kept.uuid))
    assert unsure.code == 2
    assert "an unknown number of notificaties wait: --keep keeps" in unsure.err
    assert nrc(tmp_path, "abonnement", "remove", str(kept.uuid), "--keep", "--yes").code == 2
    assert len(look(tmp_path).abonnementen) == 1, "all or nothing"
    ran = nrc(tmp_path, "abonnement", "remove", str(kept.uuid), "--yes")
    assert (ran.code, ran.out) == (0, f"{kept.uuid} removed\n")
    assert look(tmp_path).abonnementen == ()


def test_abonnement_remove_asks_at_a_terminal(
    tmp_path: Path, kept: Abonnement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nrc.cli.terminal.confirmation.at_terminal", lambda: True)
    asked = nrc(tmp_path, "abonnement", "remove", str(kept.uuid), stdin=b"n\n")
    assert asked.code == 1
    assert "Remove them for good?" in asked.err
    assert len(look(tmp_path).abonnementen) == 1
    assert nrc(tmp_path, "abonnement", "remove", str(kept.uuid), stdin=b"y\n").code == 0
    assert look(tmp_path).abonnementen == ()


@pytest.mark.parametrize("stdin", ["</dev/null", "<&-"])
def test_abonnement_remove_asks_nobody_who_is_not_there(tmp_path: Path, kept: Abonnement, stdin: str) -> None:
    command = f"exec '{sys.executable}' -m nrc abonnement remove {kept.uuid} {stdin}"
    env = {"NRC_STATE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    ran = subprocess.run(
        ["/bin/sh", "-c", command], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--yes removes them for good" in ran.stderr
    assert len(look(tmp_path).abonnementen) == 1


def test_what_waits_is_known_without_rabbitmq(tmp_path: Path, kept: Abonnement) -> None:
    retried, pending, ended = new_id(), new_id(), new_id()

    async def work() -> None:
        async with open_ledger(tmp_path / "ledger.db") as ledger:
            failed = Attempt(1_700_000_000_000, 1, "http_status", "answered 500", 500, 12.0)
            await ledger.write(
                [
                    Outcome(Key(retried, kept.uuid), Delivery.RETRYING, 0, 2, failed.at, wait=600),
                    Outcome(Key(pending, kept.uuid), Delivery.PENDING, 0, 0, failed.at),
                    Outcome(Key(ended, kept.uuid), Delivery.UNDELIVERABLE, 0, 1, failed.at, failed=failed),
                ]
            )

    asyncio.run(work())
    (listed,) = nrc(tmp_path, "abonnement", "list", "--json").json()
    assert (listed["waiting"], listed["retrying"]) == (1, 1)
    assert listed["nextRetry"] is not None
    shown = nrc(tmp_path, "undeliverable", "show", str(retried), "--json")
    (found,) = shown.json()
    assert (found["id"], found["abonnement"], found["attempts"]) == (str(retried), str(kept.uuid), 2)
    assert (found["where"], found["state"]) == ("between attempts", "suspended")
    (found,) = nrc(tmp_path, "undeliverable", "show", str(pending), "--json").json()
    assert found["where"] == "queue"
    (found,) = nrc(tmp_path, "undeliverable", "list", "--abonnement", str(kept.uuid)[:8], "--json").json()
    assert found["id"] == str(ended)
    assert [each["detail"] for each in found["failures"]] == ["answered 500"]
    unknown = nrc(tmp_path, "undeliverable", "show", str(new_id()))
    assert (unknown.code, unknown.out) == (1, "")
    assert "`nrc trace` says which" in unknown.err
    gone = nrc(tmp_path, "undeliverable", "remove", str(ended), "--yes")
    assert (gone.code, gone.out) == (0, "1 removed\n")
    assert nrc(tmp_path, "undeliverable", "list", "--json").json() == []


@pytest.mark.parametrize("command", ["show", "remove", "resume", "suspend", "probe"])
def test_an_unknown_abonnement(tmp_path: Path, command: str) -> None:
    ran = nrc(tmp_path, "abonnement", command, str(UUID(int=5)))
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("nrc: there is no abonnement")
    assert nrc(tmp_path, "abonnement", command, "not-a-uuid").code == 2


def several(folder: Path, *uuids: str) -> None:
    """Abonnementen with these UUIDs, of an application with a long name."""

    async def work() -> None:
        async with open_registry(folder / "registry.db") as registry:
            for uuid in uuids:
                new = replace(
                    an_abonnement(),
                    uuid=UUID(uuid),
                    client_id="zaakregistratiecomponent-acceptatie",
                    callback_url="https://consumer.example.com/notificaties/ontvangen/zaakgericht/werken",
                )
                await registry.add_abonnement(new)
            await registry.note_failures(
                {UUID(uuid): LastFailure(1e9, "http_status: " + "geen antwoord " * 9)}
            )
        at = 1_700_000_000_000
        async with open_ledger(folder / "ledger.db") as ledger:
            await ledger.write(
                [
                    Outcome(Key(new_id(), UUID(uuids[0])), Delivery.RETRYING, 0, 1, at, wait=600)
                    for _ in range(120)
                ]
            )

    asyncio.run(work())


ONE = "5f3a2b1c-0000-4000-8000-000000000001"
NEAR = "5f3a2b1d-0000-4000-8000-000000000002"
FAR = "a0000000-0000-4000-8000-000000000003"


@pytest.mark.parametrize("typed", ["5f3a2b1c", "5F3A2B1C-0000", "5f3a2b1c0000400080000000000000", ONE])
def test_the_first_characters_of_a_uuid_will_do(tmp_path: Path, typed: str) -> None:
    several(tmp_path, ONE, NEAR, FAR)
    shown = nrc(tmp_path, "abonnement", "show", typed)
    assert (shown.code, shown.out.splitlines()[0]) == (0, f"uuid:        {ONE}")
    for command, said in (("suspend", "suspended"), ("resume", "active"), ("remove", "removed")):
        more = ["--yes"] if command == "remove" else []
        assert nrc(tmp_path, "abonnement", command, typed, *more).out.splitlines()[0] == f"{ONE} {said}"
    assert [str(each.uuid) for each in look(tmp_path).abonnementen] == [NEAR, FAR]


@pytest.mark.parametrize("command", ["show", "remove", "resume", "suspend", "probe"])
def test_characters_that_several_begin_with_are_refused(tmp_path: Path, command: str) -> None:
    several(tmp_path, ONE, NEAR, FAR)
    before = look(tmp_path)
    ran = nrc(tmp_path, "abonnement", command, "5f3a")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == f"nrc: abonnement 5f3a may be any of these: {ONE}, {NEAR}"
    assert nrc(tmp_path, "abonnement", command, "a00").code == 2, "too few to be sure"
    assert nrc(tmp_path, "abonnement", command, "a---").code == 2
    assert look(tmp_path) == before


def test_an_abonnement_that_is_named_twice_is_dealt_with_once(tmp_path: Path) -> None:
    several(tmp_path, ONE)
    ran = nrc(tmp_path, "abonnement", "remove", "5f3a", ONE, "--yes")
    assert ran.out.splitlines() == [f"{ONE} removed", "120 notificatie(s) that waited removed"]


@pytest.mark.parametrize("group", ["application", "kanaal", "abonnement"])
def test_rows_fit_a_narrow_terminal_and_ids_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    name = "zaakregistratiecomponent-acceptatie"
    label = ["--label", "Zaakregistratiecomponent 東京 (acceptatie)", "--scope", "publiceren"]
    nrc(tmp_path, "application", "add", name, *label, "--scope", "consumeren")
    nrc(tmp_path, "application", "rotate", name, "--keep-old", "24h")
    kenmerken = [f"--filter=kenmerk{number}" for number in range(20)]
    nrc(
        tmp_path,
        "kanaal",
        "add",
        "z" * 40,
        "--documentatie-link",
        "https://example.com/" + "d" * 90,
        *kenmerken,
    )
    several(tmp_path, ONE, NEAR, FAR)
    monkeypatch.setattr("nrc.cli.terminal.output.terminal_width", lambda: 80)
    ids = {"application": [name], "kanaal": ["z" * 40], "abonnement": [ONE[:8], NEAR[:8], FAR[:8]]}[group]

    narrow = nrc(tmp_path, group, "list").out.splitlines()

    assert [line.split()[0] for line in narrow[1:]] == ids
    assert max(map(len, narrow)) <= 80
    assert all("…" in line for line in narrow[1:])
    assert group != "abonnement" or narrow[1].split()[3:5] == ["0", "120"]
    wide = nrc(tmp_path, group, "list", "--wide").out
    assert max(map(len, wide.splitlines())) > 80
    assert "…" not in wide
    if group == "abonnement":
        assert all(uuid in wide for uuid in (ONE, NEAR, FAR))


def test_json_is_json_for_every_list(tmp_path: Path) -> None:
    for group in ("application", "kanaal", "abonnement"):
        assert json.loads(nrc(tmp_path, group, "list", "--json").out) == []


def test_migrate_makes_the_tables_and_does_it_again_without_a_change(tmp_path: Path) -> None:
    for file in tmp_path.glob("*.db*"):
        file.unlink()
    for _ in range(2):
        assert nrc(tmp_path, "migrate").out == "registry and ledger are up to date\n"
    assert (tmp_path / "registry.db").exists()
    assert (tmp_path / "ledger.db").exists()
    assert json.loads(nrc(tmp_path, "kanaal", "list", "--json").out) == []


def test_migrate_for_several_hosts_refuses_a_file(tmp_path: Path) -> None:
    for url in ("", f"sqlite:///{tmp_path}/registry.db"):
        ran = nrc(tmp_path, "migrate", "--shared", env={"NRC_DATABASE_URL": url})
        assert ran.code == 2
        assert "a SQLite file serves one host" in ran.err
