"""`nrc trace`, `nrc explain` and `nrc notificaties list` on a real ledger file: zaak X at 01:46."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import click
import pytest

from ledger.explaining.dutch import AMSTERDAM
from ledger.ids import new_id
from ledger.sqlite.ledger import SqliteLedger
from ledger.values import CONSOLIDATED, Attempt, Cause, Entry, Event, Incomplete, Key, Outcome, Probe, State
from nrc.cli.terminal import ids, output
from nrc.cli.tracing import explain, layout, times
from operating.notificaties import finding
from schemas import abonnement as abonnementen
from schemas.abonnement import FilterGroup
from store.opening import open_registry
from tests.command import Ran, make_registry, nrc
from tests.make import a_kanaal, an_abonnement

ZAAK = "https://zaken.example.nl/api/v1/zaken/ddc6d192"
ZAC, ARCHIEF, GEO, GONE = (UUID(int=(0xABC0 + number) << 112) for number in range(4))


def at(text: str, *, day: str = "2025-10-29") -> int:
    """Milliseconds of this time in Amsterdam."""
    return round(datetime.fromisoformat(f"{day}T{text}").replace(tzinfo=AMSTERDAM).timestamp() * 1000)


NOW = at("01:50")


def an_entry(moment: int, number: int, *matched: UUID, zaak: str = ZAAK, actie: str = "create") -> Entry:
    kenmerken = {"zaaktype": "A", "vertrouwelijkheidaanduiding": "openbaar"}
    sent = {"kanaal": "zaken", "kenmerken": kenmerken}
    return Entry(
        id=UUID(int=moment << 80 | 7 << 76 | number << 64 | 2 << 62),
        received=moment, client="bron", kanaal="zaken", resource="status",
        actie=actie, hoofd_object=zaak, resource_url=f"{zaak}/statussen/{number}", kenmerken=kenmerken,
        body=json.dumps(sent).encode(), catalogue=1, matched=matched,
    )  # fmt: skip


YESTERDAY = an_entry(at("12:00", day="2025-10-28"), 1, ZAC, GONE)
NIGHT = an_entry(at("01:46:00.250"), 2, ZAC, GEO)
LATER = an_entry(at("01:49"), 3, ZAC, actie="update")
OTHER = an_entry(at("01:49:30"), 4, GEO, zaak="https://zaken.example.nl/api/v1/zaken/another")


def events() -> list[Event]:
    """ZAC got all but the last, which failed twice; GEO is held; what GONE did not get is undeliverable."""
    gone = Attempt(at("13:00", day="2025-10-28"), 9, "timeout", "no status within 10 s", ms=10000.0)
    failed = [
        Attempt(at("01:49:00.100"), 1, "http_status", "answered 500", status=500, ms=12.0),
        Attempt(at("01:49:30"), 2, "connection_refused", "refused", ms=2.0),
    ]
    return [
        YESTERDAY, NIGHT, LATER, OTHER,
        Outcome(Key(YESTERDAY.id, ZAC), State.DELIVERED, 0, 1, at("12:00:01", day="2025-10-28"), status=204),
        Outcome(Key(YESTERDAY.id, GONE), State.UNDELIVERABLE, 0, 9, gone.at, failed=gone),
        Outcome(Key(NIGHT.id, ZAC), State.DELIVERED, 0, 1, at("01:46:03.412"), status=204, ms=38.2),
        Probe(Key(NIGHT.id, GEO), Attempt(at("01:48"), 0, "connection_refused", "refused", ms=1.0)),
        *(
            Outcome(Key(LATER.id, ZAC), State.RETRYING, 0, each.number, each.at, wait=1330.0, failed=each)
            for each in failed
        ),
    ]  # fmt: skip


def keep(folder: Path, *kept: Event) -> None:
    async def work() -> None:
        async with SqliteLedger(folder / "ledger.db", clock=lambda: NOW / 1000) as ledger:
            for each in kept:
                await ledger.write([each])

    asyncio.run(work())


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "now", lambda: NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A registry and a ledger in which things happened."""
    hold = abonnementen.Hold(
        since=at("23:02", day="2025-10-28") / 1000, probes=1, next_probe=at("01:51") / 1000
    )

    async def work() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.add_kanaal(a_kanaal("zaken", "zaaktype", "vertrouwelijkheidaanduiding"))
            for uuid, client, filters in (
                (ZAC, "zac", {}),
                (ARCHIEF, "archief", {"vertrouwelijkheidaanduiding": "Openbaar"}),
                (GEO, "geo", {}),
            ):
                made = replace(an_abonnement(("zaken", filters)), uuid=uuid, client_id=client)
                await registry.add_abonnement(made)
            await registry.set_hold(
                GEO, hold, "connection_refused: refused", before=None, callback_url=made.callback_url
            )

    asyncio.run(work())
    began(tmp_path, at("09:00", day="2025-10-01"))
    keep(tmp_path, *events())
    return tmp_path


def began(folder: Path, *moments: int, only: UUID | None = None) -> None:
    """The kanalen of abonnementen began at these moments, the oldest first."""
    with sqlite3.connect(folder / "registry.db") as connection:
        versions = connection.execute(
            "SELECT abonnement, change FROM kanalen_version ORDER BY change"
        ).fetchall()
        wanted = [each for each in versions if only is None or each[0] == str(only)]
        for index, version in enumerate(wanted):
            own = [each for each in wanted[:index] if each[0] == version[0]]
            begin = moments[len(own)] / 1000
            connection.execute(
                "UPDATE kanalen_version SET valid_from = ?, made_at = ? WHERE abonnement = ? AND change = ?",
                [begin, moments[0] / 1000, *version],
            )
            for former in own[-1:]:
                connection.execute(
                    "UPDATE kanalen_version SET valid_until = ? WHERE abonnement = ? AND change = ?",
                    [begin, *former],
                )
    connection.close()


NIGHT_LINES = [
    "01:46:00  zaken, status, create  (from bron)",
    f"  {NIGHT.id}",
    "  abc00000  zac",
    "    Afgeleverd om 01:46:03,412 bij poging 1 (status 204, 38 ms).",
    "  abc20000  geo",
    "     -  01:48:00  verbinding geweigerd, 1 ms",
    "    Wacht: de callback werkt sinds 23:02 niet (verbinding geweigerd). Er wachten 2, deze is nummer 1. "
    "Volgende proef om 01:51.",
]
YESTERDAY_LINES = [
    "28-10 12:00:00  zaken, status, create  (from bron)",
    f"  {YESTERDAY.id}",
    "  abc00000  zac",
    "    Afgeleverd op 28-10 om 12:00:01,000 bij poging 1 (status 204).",
    "  abc30000  (removed)",
    "     9  28-10 13:00:00  geen antwoord binnen de tijd, 10.000 ms",
    "    Onbestelbaar sinds 28-10 13:00: poging 9 van 9 mislukte (geen antwoord binnen de tijd). Er komt "
    "vanzelf geen poging meer.",
]
LATER_LINES = [
    "01:49:00  zaken, status, update  (from bron)",
    f"  {LATER.id}",
    "  abc00000  zac",
    "     1  01:49:00  status 500, 12 ms",
    "     2  01:49:30  verbinding geweigerd, 2 ms",
    "    Nog niet afgeleverd: poging 2 van 9 mislukte (verbinding geweigerd). Volgende poging om 02:12:10.",
]


@pytest.mark.parametrize("what", [ZAAK, "ddc6d192", ZAAK + "/"])
def test_everything_of_an_object(folder: Path, what: str) -> None:
    ran = nrc(folder, "trace", what)
    assert ran.code == 0
    assert ran.err == "why another did not get it: nrc explain ID --abonnement UUID|APPLICATION\n"
    assert ran.out.splitlines() == [*YESTERDAY_LINES, *NIGHT_LINES, *LATER_LINES]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ((ZAAK, "--at", "28-10 12:02"), YESTERDAY_LINES),
        ((ZAAK, "--at", "01:46"), [*NIGHT_LINES, *LATER_LINES]),
        ((f"{ZAAK}/statussen/2",), NIGHT_LINES),
        ((str(NIGHT.id),), NIGHT_LINES),
        ((str(NIGHT.id)[:18],), NIGHT_LINES),
        ((str(NIGHT.id)[:18].upper().replace("-", ""),), NIGHT_LINES),
        ((ZAAK, "--limit", "1"), LATER_LINES),
    ],
)
def test_what_is_asked_for(folder: Path, arguments: tuple[str, ...], lines: list[str]) -> None:
    ran = nrc(folder, "trace", *arguments)
    assert ran.out.splitlines() == lines
    assert ran.code == 0
    assert ("only the newest 1 are shown" in ran.err) == ("--limit" in arguments)


def test_one_that_was_consolidated_tells_what_became_of_the_newest(folder: Path) -> None:
    zaak = "https://zaken.example.nl/api/v1/zaken/busy"
    first, second, third = (an_entry(at(f"01:4{minute}"), 5 + minute, ZAC, zaak=zaak) for minute in range(3))
    keep(folder, first, second, third)
    for each, newer in ((first, second), (second, third)):
        note = Attempt(at("01:45"), 0, CONSOLIDATED, str(newer.id))
        keep(folder, Outcome(Key(each.id, ZAC), State.NOT_WANTED, 0, 0, at("01:45"), failed=note))
    keep(folder, Outcome(Key(third.id, ZAC), State.DELIVERED, 0, 1, at("01:45:10"), status=204))
    lines = nrc(folder, "trace", str(first.id)).out.splitlines()
    assert lines[2:] == [
        "  abc00000  zac",
        "     -  01:45:00  een nieuwere kwam ervoor in de plaats",
        f"    Niet apart afgeleverd: de nieuwere notificatie {second.id} over dezelfde resource kwam ervoor "
        f"in de plaats (afleveroptie consolidate). Daarvoor kwam weer {third.id}; die is om 01:45:10 "
        "afgeleverd.",
    ]
    told = nrc(folder, "trace", str(second.id))
    assert "(afleveroptie consolidate). Die is om 01:45:10 afgeleverd." in told.out
    (facts,) = nrc(folder, "trace", str(first.id), "--json").json()
    (reason,) = facts["deliveries"][0]["explanation"]["reasons"]
    assert (reason["into"], reason["newest"]) == (str(second.id), str(third.id))
    assert reason["newestState"] == "delivered"


def test_what_begins_like_several(folder: Path) -> None:
    ran = nrc(folder, "trace", str(NIGHT.id)[:6])
    assert (ran.code, ran.out) == (2, "")
    assert f"{NIGHT.id}, {LATER.id}" in ran.err


def test_it_fits_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (layout, output):
        monkeypatch.setattr(module, "terminal_width", lambda: 80)
    for arguments in (["trace", ZAAK], ["trace", "nothing"], ["notificaties", "list"]):
        ran = nrc(folder, *arguments)
        assert max(map(len, (ran.out + ran.err).splitlines())) <= 80, arguments
    wide = nrc(folder, "notificaties", "list", "--wide")
    assert str(NIGHT.id) in wide.out
    assert str(ZAC) in nrc(folder, "trace", ZAAK, "--wide").out


def test_an_object_that_is_not_there(folder: Path) -> None:
    ran = nrc(folder, "trace", "https://zaken.example.nl/api/v1/zaken/none")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "Onbekend: hier is geen notificatie met dit hoofdObject of deze resource aangenomen sinds 28-10 "
        "12:00.\n"
    )
    ran = nrc(folder, "trace", "none")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Onbekend: hier is geen notificatie met dit UUID of id aangenomen sinds ")
    ran = nrc(folder, "trace", ZAAK, "--at", "01:10")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "Binnen 5 minuten van 01:10 is hier geen notificatie met dit hoofdObject of deze resource "
        "aangenomen; de "
        "dichtstbijzijnde kwam om 01:46.\n"
    )


def test_an_object_that_may_be_lacking(folder: Path) -> None:
    keep(folder, Incomplete(at("01:40"), at("01:44"), 12))
    ran = nrc(folder, "trace", "none")
    assert ran.err.endswith(" sinds 28-10 12:00; van 01:40 tot 01:44 is het grootboek niet volledig (12).\n")
    ran = nrc(folder, "trace", ZAAK, "--at", "01:40")
    assert ran.err.endswith(" kwam om 01:46; van 01:40 tot 01:44 is het grootboek niet volledig (12).\n")
    assert "niet volledig" not in nrc(folder, "trace", ZAAK, "--at", "01:10").err


def test_why_it_was_sent_twice(folder: Path) -> None:
    twice = an_entry(at("01:45"), 5, ZAC, zaak="https://zaken.example.nl/api/v1/zaken/twice")

    async def give_back() -> None:
        async with SqliteLedger(folder / "ledger.db", clock=lambda: at("01:46") / 1000) as ledger:
            epoch = await ledger.keeping.take_lease("test", seconds=60)
            row = await ledger.delivery(Key(twice.id, ZAC))
            assert (epoch, row) != (None, None)
            await ledger.keeping.give_back(epoch, [row], cause=Cause.QUEUE, caused=at("01:45:50"))

    keep(folder, twice)
    asyncio.run(give_back())
    keep(folder, Outcome(Key(twice.id, ZAC), State.DELIVERED, 1, 1, at("01:46:03"), status=204))
    ran = nrc(folder, "trace", twice.hoofd_object)
    assert ran.out.splitlines()[3:] == [
        "    Afgeleverd om 01:46:03,000 bij poging 1 (status 204). Tweemaal verzonden (zelfde webhook-id): "
        "om 01:45 is de wachtrij opnieuw gemaakt, en niet zeker was dat de eerste was aangekomen."
    ]
    (found,) = nrc(folder, "trace", twice.hoofd_object, "--json").json()
    (delivery,) = found["deliveries"]
    assert delivery["failures"] == []
    assert delivery["explanation"]["reasons"][1]["cause"] == "queue"


@pytest.mark.parametrize("command", ["trace x", f"explain x --abonnement {ZAC}", "notificaties list"])
def test_no_ledger_and_an_empty_one(tmp_path: Path, command: str) -> None:
    make_registry(tmp_path)
    ran = nrc(tmp_path, *command.split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == (
        f"nrc: there is no ledger {tmp_path}/ledger.db yet: the first gateway that starts makes it"
    )
    assert not (tmp_path / "ledger.db").exists()
    keep(tmp_path)
    ran = nrc(tmp_path, *command.split())
    listing = command.startswith("notificaties")
    assert (ran.code, ran.out) == (0 if listing else 1, "")
    empty = "the ledger is empty: no notificatie was accepted since it was made"
    assert ran.err.splitlines()[-1] == (empty if listing else "Onbekend: het grootboek is leeg.")


def test_a_ledger_that_cannot_be_read(folder: Path) -> None:
    (folder / "ledger.db").write_text("not a database at all, but text " * 50)
    for extra in ("-wal", "-shm"):
        (folder / f"ledger.db{extra}").unlink(missing_ok=True)
    ran = nrc(folder, "trace", ZAAK)
    assert (ran.code, ran.out) == (3, "")
    assert len(ran.err.splitlines()) == 1


def test_trace_as_json(folder: Path) -> None:
    (only,) = nrc(folder, "trace", str(LATER.id), "--json").json()
    assert (only["id"], only["received"]) == (str(LATER.id), "2025-10-29T00:49:00.000Z")
    (delivery,) = only["deliveries"]
    assert (delivery["abonnement"], delivery["clientId"]) == (str(ZAC), "zac")
    assert (delivery["state"], delivery["attempts"]) == ("retrying", 2)
    assert delivery["nextAt"] == "2025-10-29T01:12:10.000Z"
    assert [each["class"] for each in delivery["failures"]] == ["http_status", "connection_refused"]
    assert delivery["explanation"]["code"] == "retrying"
    assert nrc(folder, "trace", "none", "--json").json() == []


def explained(folder: Path, abonnement: str, *, what: str = str(NIGHT.id)) -> Ran:
    return nrc(folder, "explain", what, "--abonnement", abonnement)


def test_why_another_got_nothing(folder: Path) -> None:
    ran = explained(folder, "abc1")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        *NIGHT_LINES[:2],
        "  abc10000  archief",
        "    Niet voor dit abonnement: filter vertrouwelijkheidaanduiding is 'Openbaar', de notificatie "
        "heeft "
        "'openbaar'. Waarden worden letterlijk vergeleken; dit verschilt alleen in hoofdletters.",
    ]


def test_explain_one_delivery(folder: Path) -> None:
    assert explained(folder, "abc0").out.splitlines() == NIGHT_LINES[:4]
    of_gone = explained(folder, "abc3", what=str(YESTERDAY.id))
    assert of_gone.out.splitlines() == [*YESTERDAY_LINES[:2], *YESTERDAY_LINES[4:]]
    not_there = explained(folder, str(UUID(int=9)))
    assert not_there.out.endswith("Onbekend: een abonnement met dit UUID is hier niet (meer).\n")
    assert explained(folder, "abc0", what=f"{ZAAK}/statussen/2").out.splitlines() == NIGHT_LINES[:4]


def test_explain_tells_the_state_of_the_abonnement_then(folder: Path) -> None:
    with sqlite3.connect(folder / "registry.db") as connection:
        for state, since, until in (("active", "09:00", "23:02"), ("held", "23:02", None)):
            ends = None if until is None else at(until, day="2025-10-28") / 1000
            connection.execute(
                "UPDATE state_version SET valid_from = ?, valid_until = ? WHERE abonnement = ? AND state = ?",
                [at(since, day="2025-10-28") / 1000, ends, str(GEO), state],
            )
    connection.close()
    assert explained(folder, "abc2").out.splitlines() == [
        *NIGHT_LINES[:2],
        *NIGHT_LINES[4:],
        "    Toestand van het abonnement toen: vastgehouden sinds 23:02 (verbinding geweigerd).",
    ]
    (told,) = nrc(folder, "explain", str(NIGHT.id), "--abonnement", "abc2", "--json").json()
    assert told["deliveries"][0]["explanation"]["stateThen"] == "held"


def test_the_abonnement_was_not_there_yet(folder: Path) -> None:
    began(folder, at("01:52"), only=ARCHIEF)
    assert explained(folder, "abc1").out.splitlines()[3:] == [
        "    Het abonnement bestond toen nog niet: gemaakt om 01:52, de notificatie kwam om 01:46."
    ]


def test_another_filter_held_then(folder: Path) -> None:
    async def work() -> None:
        async with open_registry(folder / "registry.db") as registry:
            await registry.change_abonnement(
                ARCHIEF, lambda each: replace(each, kanalen=(FilterGroup("zaken"),))
            )

    asyncio.run(work())
    began(folder, at("01:00"), at("01:48"), only=ARCHIEF)
    assert explained(folder, "abc1").out.splitlines()[3:] == [
        "    Niet voor dit abonnement: filter vertrouwelijkheidaanduiding is 'Openbaar', de notificatie "
        "heeft "
        "'openbaar'. Waarden worden letterlijk vergeleken; dit verschilt alleen in hoofdletters. Toen gold "
        "een "
        "ander filter (vertrouwelijkheidaanduiding Openbaar, tot 01:48)."
    ]


def test_an_abonnement_that_was_removed_before(folder: Path) -> None:
    async def work() -> None:
        async with open_registry(folder / "registry.db") as registry:
            await registry.remove_abonnement(ARCHIEF)

    asyncio.run(work())
    with sqlite3.connect(folder / "registry.db") as connection:
        connection.execute(
            "UPDATE kanalen_version SET valid_until = ?, removed_at = ? WHERE abonnement = ?",
            [at("01:30") / 1000, at("01:30") / 1000, str(ARCHIEF)],
        )
    connection.close()
    assert explained(folder, str(ARCHIEF)).out.splitlines()[3:] == [
        "    Het abonnement bestond toen niet meer: verwijderd om 01:30, de notificatie kwam om 01:46."
    ]


def test_explain_what_is_not_clear(folder: Path) -> None:
    ran = explained(folder, "abc0", what=str(NIGHT.id)[:6])
    assert (ran.code, ran.out) == (2, "")
    assert "may be any of these" in ran.err
    ran = explained(folder, "ffff")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "nrc: there is no abonnement ffff: `nrc abonnement list` shows which there are; one that was removed "
        "is named by its whole UUID.\n"
    )
    ran = nrc(folder, "explain", "none", "--abonnement", "abc0", "--json")
    assert (ran.code, ran.json()) == (1, [])
    assert ran.err.startswith("Onbekend: ")


def test_explain_all_of_an_object(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = explained(folder, "abc0", what=ZAAK)
    assert ran.out.splitlines() == [*YESTERDAY_LINES[:4], *NIGHT_LINES[:4], *LATER_LINES]
    ran = nrc(folder, "explain", ZAAK, "--abonnement", "abc0", "--at", "28-10 12:01")
    assert ran.out.splitlines() == YESTERDAY_LINES[:4]
    monkeypatch.setattr(explain, "MOST", 2)
    ran = explained(folder, "abc0", what=ZAAK)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith(" has more than 2 notificaties: --at TIME, or the id of one\n")


def test_the_beginning_of_very_many_ids(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_MOST_ALIKE", 2)
    ran = nrc(folder, "trace", str(NIGHT.id)[:8])
    assert (ran.code, ran.out) == (2, "")
    assert "so many came then; give more of its characters" in ran.err


def test_explain_as_json(folder: Path) -> None:
    (found,) = nrc(folder, "explain", str(NIGHT.id), "--abonnement", "abc1", "--json").json()
    (delivery,) = found["deliveries"]
    assert delivery["explanation"]["code"] == "filter_differs"
    assert delivery["explanation"]["matches"] is False
    assert delivery["failures"] == []
    assert "state" not in delivery


def test_a_notificatie_for_nobody(folder: Path) -> None:
    nobody = an_entry(at("01:49:50"), 5, zaak="https://zaken.example.nl/api/v1/zaken/lonely")
    keep(folder, nobody)
    assert nrc(folder, "trace", "lonely").out.splitlines()[2:] == ["  Voor geen enkel abonnement."]


def test_a_body_that_was_shed(folder: Path) -> None:
    with sqlite3.connect(folder / "ledger.db") as connection:
        connection.execute("DELETE FROM body")
    connection.close()
    assert explained(folder, "abc1").out.splitlines()[-1] == (
        "    Niet te zeggen: de inhoud van deze notificatie wordt niet meer bewaard, en voor dit abonnement "
        "is geen "
        "aflevering genoteerd."
    )
    assert explained(folder, "abc0").out.splitlines() == NIGHT_LINES[:4]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", [OTHER, LATER, NIGHT, YESTERDAY]),
        ("--oldest-first", [YESTERDAY, NIGHT, LATER, OTHER]),
        ("--kanaal zaken --actie update", [LATER]),
        ("--kanaal documenten", []),
        ("--resource status --client bron --kenmerk zaaktype=A --after 01:47", [OTHER, LATER]),
        ("--kenmerk zaaktype=A --kenmerk vertrouwelijkheidaanduiding=Openbaar", []),
        ("--client someone", []),
        ("--object ddc6d192 --before 01:47", [NIGHT, YESTERDAY]),
        ("--abonnement abc2", [OTHER, NIGHT]),
        (f"--abonnement {GONE}", [YESTERDAY]),
        ("--state retrying", [LATER]),
        ("--state undeliverable --state retrying", [LATER, YESTERDAY]),
        ("--state open", [OTHER, LATER, NIGHT]),
        ("--state delivered --abonnement abc2", []),
        ("--after 5m --before 90s", [NIGHT]),
        ("--failed", [LATER, YESTERDAY]),
        ("--failed --after 01:00", [LATER]),
        ("--late 3s", [NIGHT]),
        ("--late 4s", []),
        ("--abonnement geo", [OTHER, NIGHT]),
    ],
)
def test_the_list(folder: Path, asked: str, found: list[Entry]) -> None:
    ran = nrc(folder, "notificaties", "list", "--json", *asked.split())
    assert ran.code == 0, ran.err
    assert [each["id"] for each in ran.json()] == [str(each.id) for each in found]


def test_the_list_for_people(folder: Path) -> None:
    ran = nrc(folder, "notificaties", "list", "--limit", "3")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["CAME", "ID", "KANAAL", "RESOURCE", "ACTIE", "CLIENT", "DELIVERIES"],
        ["01:49:30", str(OTHER.id)[:18], "zaken", "status", "create", "bron", "pending:1"],
        ["01:49:00", str(LATER.id)[:18], "zaken", "status", "update", "bron", "retrying:1"],
        [
            "01:46:00",
            str(NIGHT.id)[:18],
            *["zaken", "status", "create", "bron", "delivered:1", "pending:1"],
        ],
    ]
    assert ran.err == "there are more than these 3: --limit, --after and --before show others\n"
    one = nrc(folder, "notificaties", "list", "--abonnement", "abc2", "--before", "01:47")
    assert one.out.splitlines()[1].endswith("  bron    pending:1")
    none = nrc(folder, "notificaties", "list", "--client", "x")
    assert (none.code, none.out) == (0, "")
    assert none.err == "no such notificaties; the oldest in the ledger came 28-10 12:00\n"


def test_how_deliveries_went_by_abonnement(folder: Path) -> None:
    ran = nrc(folder, "notificaties", "per-abonnement", "--after", "28-10", "--late", "3s")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["ABONNEMENT", "APPLICATION", "DELIVERIES", "DELIVERED", "FAILED", "LATE", "SLOWEST"],
        ["abc00000", "zac", "3", "2", "1", "1", "3.2", "s"],
        ["abc30000", "(removed)", "1", "0", "1", "0"],
        ["abc20000", "geo", "2", "0", "0", "0"],
    ]
    (late, *_) = nrc(folder, "notificaties", "per-abonnement", "--json").json()
    assert late == {
        "abonnement": str(ZAC),
        "application": "zac",
        "deliveries": 2,
        "delivered": 1,
        "failed": 1,
        "late": 0,
        "slowest": 3162,
    }
    none = nrc(folder, "notificaties", "per-abonnement", "--after", "10s")
    assert (none.code, none.out) == (0, "")


def test_an_abonnement_is_named_by_its_application(folder: Path) -> None:
    ran = nrc(folder, "explain", str(NIGHT.id), "--abonnement", "archief")
    assert "Openbaar" in ran.out, ran.err
    assert "nrc replay start" in ran.err

    async def another() -> None:
        async with open_registry(folder / "registry.db") as registry:
            again = replace(an_abonnement(("zaken", {})), client_id="archief")
            await registry.add_abonnement(replace(again, callback_url="https://archief.example.nl/2"))

    asyncio.run(another())
    several = nrc(folder, "explain", str(NIGHT.id), "--abonnement", "archief")
    assert several.code == 2
    assert "application archief has 2 abonnementen; name one:" in several.err
    assert "abc10000 (zaken)" in several.err
    unknown = nrc(folder, "explain", str(NIGHT.id), "--abonnement", "nobody")
    assert "there is no abonnement nobody" in unknown.err


def test_what_was_replayed_is_still_told_why_it_did_not_come(folder: Path) -> None:
    keep(folder, Outcome(Key(NIGHT.id, ARCHIEF, 4), State.DELIVERED, 0, 1, at("01:49"), status=204))
    told = nrc(folder, "explain", str(NIGHT.id), "--abonnement", "archief", "--json").json()[0]["deliveries"]
    assert [each["explanation"]["code"] for each in told] == ["filter_differs", "delivered"]


@pytest.mark.parametrize("asked", ["--kenmerk zaaktype", "--kenmerk =A", "--after 25:00", "--state lost"])
def test_the_list_with_wrong_options(folder: Path, asked: str) -> None:
    ran = nrc(folder, "notificaties", "list", *asked.split())
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("01:46", at("01:46")),
        ("1:46:03", at("01:46:03")),
        ("23:02", at("23:02", day="2025-10-28")),
        ("28-10", at("00:00", day="2025-10-28")),
        ("28-10 01:46", at("01:46", day="2025-10-28")),
        ("30-10", at("00:00", day="2024-10-30")),
        ("31-01-2025 13:00", at("13:00", day="2025-01-31")),
        ("2025-10-28T01:46", at("01:46", day="2025-10-28")),
        ("2025-10-28T01:46:00Z", at("02:46", day="2025-10-28")),
        ("90s", NOW - 90_000),
        ("1h30m", NOW - 5_400_000),
    ],
)
def test_moments(typed: str, meant: int) -> None:
    assert times.moment(typed) == meant


@pytest.mark.parametrize("typed", ["", "now", "24:00", "31-02", "28-10 25:00", "2025-13-01", "1:2:3"])
def test_what_is_no_moment(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="is no moment such as"):
        times.moment(typed)


def test_short_ids_in_time() -> None:
    one = new_id(at=NOW / 1000)
    assert ids.short(one) == str(one)[:18]
    assert ids.bounds(ids.short(one)) == (NOW, NOW)
    first, last = ids.bounds(str(one)[:8])
    assert first <= NOW <= last
