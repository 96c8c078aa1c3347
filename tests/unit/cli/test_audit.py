"""Every act of an operator leaves a line and a row: who did what; and `nrc audit-trail`."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from socket import gethostname
from typing import Any
from uuid import UUID

import pytest

from nrc.cli.operating import audit
from runtime.settings import load_settings
from schemas.abonnement import Hold
from store.opening import open_registry
from tests.command import make_registry, nrc
from tests.make import an_abonnement

USER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> None:
    make_registry(tmp_path)


@pytest.fixture
def uuid(tmp_path: Path) -> str:
    """Of an abonnement of application zac, in the registry of `tmp_path`."""
    nrc(tmp_path, "application", "add", "zac", "--secret", "never-told-" * 3)
    new = replace(an_abonnement(), client_id="zac", auth="Bearer never-told")

    async def add() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.add_abonnement(new)

    asyncio.run(add())
    (tmp_path / "operator.log").unlink()
    return str(new.uuid)


def lines(folder: Path) -> list[dict[str, Any]]:
    file = folder / "operator.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def told(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The lines of a command that succeeds, without their times."""
    before = len(lines(folder))
    ran = nrc(folder, *arguments, env={"SUDO_USER": "", **(env or {})})
    assert ran.code == 0, ran.err
    new = lines(folder)[before:]
    for line in new:
        assert datetime.fromisoformat(line.pop("timestamp")).tzinfo
        assert line.pop("user") == USER
    return new


def test_applications(tmp_path: Path) -> None:
    add = ["application", "add", "zac", "--label", "Zaakapp", "--scope", "publiceren"]
    assert told(tmp_path, *add) == [
        {
            "event": "application added",
            "application": "zac",
            "scopes": ["notificaties.publiceren"],
            "label": "Zaakapp",
        }
    ]
    assert told(tmp_path, "application", "grant", "zac", "consumeren") == [
        {
            "event": "scopes granted",
            "application": "zac",
            "scopes": ["notificaties.consumeren"],
            "now": ["notificaties.consumeren", "notificaties.publiceren"],
        }
    ]
    (revoked,) = told(tmp_path, "application", "revoke", "zac", "publiceren")
    assert (revoked["event"], revoked["now"]) == ("scopes revoked", ["notificaties.consumeren"])
    assert told(tmp_path, "application", "rotate", "zac") == [
        {"event": "secret rotated", "application": "zac"}
    ]
    (kept,) = told(tmp_path, "application", "rotate", "zac", "--keep-old", "24h")
    assert datetime.fromisoformat(kept["old_one_counts_until"]).tzinfo
    assert told(tmp_path, "application", "revoke-old", "zac") == [
        {"event": "old secret revoked", "application": "zac"}
    ]
    assert told(tmp_path, "token", "zac") == [{"event": "token made", "application": "zac"}]
    assert told(tmp_path, "application", "remove", "zac") == [
        {"event": "application removed", "application": "zac", "abonnementen": []}
    ]


def test_an_application_with_its_abonnementen(tmp_path: Path, uuid: str) -> None:
    nrc(tmp_path, "application", "add", "drc")
    (given,) = told(tmp_path, "application", "remove", "zac", "--give-to", "drc")
    assert (given["abonnementen"], given["given_to"], given["auth"]) == ([uuid], "drc", "removed")
    (removed,) = told(tmp_path, "application", "remove", "drc", "--with-abonnementen", "--keep")
    assert removed == {
        "event": "application removed",
        "application": "drc",
        "abonnementen": [uuid],
        "waiting": "undeliverable",
    }


def test_abonnementen(tmp_path: Path, uuid: str) -> None:
    assert told(tmp_path, "abonnement", "suspend", uuid, "--reason", "too\nmany") == [
        {"event": "abonnement suspended", "abonnement": uuid, "reason": "too\nmany"}
    ]
    assert told(tmp_path, "abonnement", "resume", uuid) == [
        {"event": "abonnement resumed", "abonnement": uuid}
    ]

    async def hold() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            (found,) = (await registry.changes_since(0)).abonnementen
            url = found.callback_url
            assert await registry.set_hold(UUID(uuid), Hold(1.0, 0, 4e9), "x", before=None, callback_url=url)

    asyncio.run(hold())
    assert told(tmp_path, "abonnement", "probe", uuid) == [{"event": "probe asked for", "abonnement": uuid}]
    assert told(tmp_path, "abonnement", "remove", uuid, "--yes") == [
        {"event": "abonnement removed", "abonnement": uuid, "waiting": "removed"}
    ]


def test_secrets_kanalen_and_backups(tmp_path: Path, uuid: str) -> None:
    (rotated,) = told(tmp_path, "secrets", "rotate")
    assert (rotated["event"], rotated["count"]) == ("secrets encrypted again", 2)
    assert told(tmp_path, "kanaal", "add", "zaken") == [{"event": "kanaal added", "kanaal": "zaken"}]
    assert told(tmp_path, "kanaal", "change", "zaken", "--filter", "a") == [
        {"event": "kanaal changed", "kanaal": "zaken", "filters": ["a"]}
    ]
    assert told(tmp_path, "kanaal", "remove", "zaken") == [{"event": "kanaal removed", "kanaal": "zaken"}]
    copy, other = tmp_path / "copy", tmp_path / "other"
    assert told(tmp_path, "backup", str(copy)) == [{"event": "backup made", "folder": str(copy)}]
    other.mkdir()
    (restored,) = told(other, "restore", str(copy))
    assert (restored["event"], restored["folder"]) == ("backup restored", str(copy))
    everything = (tmp_path / "operator.log").read_text() + (other / "operator.log").read_text()
    assert "never-told" not in everything
    assert rotated["key"] not in (tmp_path / "secret.keys").read_text(), "a name of a key, not the key"


def test_whoever_used_sudo_is_named(tmp_path: Path) -> None:
    (line,) = told(tmp_path, "kanaal", "add", "zaken", env={"SUDO_USER": "jan"})
    assert line["sudo_user"] == "jan"


def test_what_was_refused_or_only_looked_at_leaves_no_line(tmp_path: Path, uuid: str) -> None:
    for refused in (
        ["application", "add", "zac"],
        ["application", "remove", "zac"],
        ["application", "grant", "drc", "publiceren"],
        ["abonnement", "remove", str(UUID(int=1))],
        ["kanaal", "add", ""],
        ["token", "drc"],
    ):
        assert nrc(tmp_path, *refused).code != 0
    for looking in (["application", "list"], ["kanaal", "list"], ["secrets", "check"], ["settings"]):
        assert nrc(tmp_path, *looking).code == 0
    assert lines(tmp_path) == []


def test_the_file_is_for_its_owner_only_and_two_commands_leave_whole_lines(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, database_url=f"sqlite:///{tmp_path}/new/other.db")
    (tmp_path / "new").mkdir()
    audit.append(settings, "one", text="é\n\udcff")
    audit.append(settings, "two", nothing=None)
    file = tmp_path / "new" / "operator.log"
    assert file.stat().st_mode & 0o777 == 0o600
    first, second = lines(tmp_path / "new")
    assert (first["event"], first["text"]) == ("one", "é\n\udcff")
    assert "nothing" not in second


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_that_root_makes_is_that_of_the_folders_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    audit.append(load_settings(_env_file=None, state_dir=tmp_path), "one")
    assert (tmp_path / "operator.log").stat().st_uid == 12345


def test_an_act_that_cannot_be_noted_is_done_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "operator.log").mkdir()
    ran = nrc(tmp_path, "kanaal", "add", "zaken")
    assert ran.code == 0
    assert f"done, but not noted in {tmp_path}/operator.log: Is a directory" in ran.err
    assert [each["act"] for each in trail(tmp_path)] == ["kanaal added"]


def test_an_act_that_the_registry_does_not_take_is_done_and_has_its_line(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "registry.db")) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON act BEGIN SELECT RAISE(FAIL, 'no room'); END")
    ran = nrc(tmp_path, "kanaal", "add", "zaken")
    assert ran.code == 0
    assert "done, but not noted in the registry (see operator.log): " in ran.err
    assert "no room" in ran.err
    assert [line["event"] for line in lines(tmp_path)] == ["kanaal added"]
    assert [each["naam"] for each in nrc(tmp_path, "kanaal", "list", "--json").json()] == ["zaken"]
    assert trail(tmp_path) == []


def trail(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    ran = nrc(folder, "audit-trail", "--json", *arguments)
    assert ran.code == 0, ran.err
    found: list[dict[str, Any]] = ran.json()
    return found


def test_the_trail_has_every_act_the_newest_first(tmp_path: Path, uuid: str) -> None:
    sudo = {"SUDO_USER": "jan"}
    nrc(tmp_path, "kanaal", "add", "zaken", env=sudo)
    nrc(tmp_path, "abonnement", "suspend", uuid, "--reason", "too many", env={"SUDO_USER": ""})
    nrc(tmp_path, "application", "rotate", "zac", "--secret", "never-told-" * 3, env=sudo)
    nrc(tmp_path, "application", "add", "drc", env=sudo)
    nrc(tmp_path, "application", "remove", "zac", "--give-to", "drc", env=sudo)
    nrc(tmp_path, "backup", str(tmp_path / "copy"), env=sudo)

    made, given, _, rotated, suspended, kanaal, _ = every = trail(tmp_path)

    assert [each["act"] for each in (made, rotated, kanaal)] == [
        "backup made", "secret rotated", "kanaal added",
    ]  # fmt: skip
    assert datetime.fromisoformat(suspended.pop("at")).tzinfo
    assert suspended == {
        "act": "abonnement suspended",
        "user": USER,
        "sudoUser": None,
        "host": gethostname(),
        "command": "abonnement suspend",
        "facts": {"abonnement": uuid, "reason": "too many"},
    }
    assert (rotated["sudoUser"], rotated["command"]) == ("jan", "application rotate")
    assert "never-told" not in json.dumps(every)
    assert (given["facts"]["abonnementen"], made["facts"]) == ([uuid], {"folder": str(tmp_path / "copy")})


@pytest.mark.parametrize(
    ("asked", "acts"),
    [
        (["--kanaal", "zaken"], ["kanaal added"]),
        (["--application", "drc"], ["application removed", "application added"]),
        (["--application", "nobody"], []),
        (["--what", "REMOVE"], ["application removed"]),
        (["--what", "kanaal add"], ["kanaal added"]),
        (["--who", "jan", "--limit", "1"], ["kanaal added"]),
        (["--who", "nobody"], []),
        (["--since", "1h", "--limit", "1"], ["application removed"]),
        (["--until", "1h"], []),
    ],
)
def test_the_trail_is_searched(tmp_path: Path, uuid: str, asked: list[str], acts: list[str]) -> None:
    nrc(tmp_path, "kanaal", "add", "zaken", env={"SUDO_USER": "jan"})
    nrc(tmp_path, "application", "add", "drc")
    nrc(tmp_path, "application", "remove", "zac", "--give-to", "drc")
    assert [each["act"] for each in trail(tmp_path, *asked)] == acts


def test_the_trail_of_an_abonnement_by_its_first_characters(tmp_path: Path, uuid: str) -> None:
    nrc(tmp_path, "abonnement", "suspend", uuid)
    nrc(tmp_path, "abonnement", "remove", uuid, "--yes")
    nrc(tmp_path, "application", "remove", "zac")
    found = trail(tmp_path, "--abonnement", uuid[:8])
    assert [each["act"] for each in found] == ["abonnement removed", "abonnement suspended"]
    assert trail(tmp_path, "--abonnement", uuid) == found
    ran = nrc(tmp_path, "audit-trail", "--abonnement", str(UUID(int=1)))
    assert (ran.code, ran.out, ran.err) == (0, "", "nothing was noted\n")


def test_the_trail_as_a_table_and_where_there_is_no_registry(tmp_path: Path, uuid: str) -> None:
    nrc(tmp_path, "abonnement", "suspend", uuid, env={"SUDO_USER": "jan"})
    (header, line, _), wide = (
        nrc(tmp_path, "audit-trail", *more).out.splitlines() for more in ([], ["--wide"])
    )
    assert header.split() == ["WHEN", "WHO", "ACT", "FACTS"]
    assert line.endswith(
        f"jan (as {USER})  abonnement suspended  abonnement: {uuid[:8]}  reason: by an operator"
    )
    assert wide[0].split() == ["WHEN", "WHO", "ACT", "FACTS", "COMMAND", "HOST"]
    assert uuid in wide[1]
    (tmp_path / "none").mkdir()
    ran = nrc(tmp_path / "none", "audit-trail")
    assert (ran.code, "there is no registry" in ran.err) == (2, True)
