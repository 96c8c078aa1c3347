"""Tables on terminals of every width, and short ids."""

from __future__ import annotations

import pytest

from nrc.cli.registry import abonnement
from nrc.cli.terminal import ids, output
from nrc.cli.terminal.output import Column, table
from schemas.errors import UsageError

COLUMNS = [Column("ID"), Column("NAME", least=5), Column("MORE", wide=True), Column("WHY", least=6)]
ROWS = [["12345678", "a name that is long", "more", "because of this and that"], ["2", "東京", "", "so"]]


def shown(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    room: int | None,
    *,
    wide: bool = False,
) -> list[str]:
    monkeypatch.setattr(output, "terminal_width", lambda: room)
    table(COLUMNS, ROWS, empty="", wide=wide)
    return capsys.readouterr().out.splitlines()


def test_what_is_widest_is_cut_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(capsys, monkeypatch, 40) == [
        "ID        NAME            WHY",
        "12345678  a name that i…  because of th…",
        "2         東京            so",
    ]


@pytest.mark.parametrize("room", [0, 5, 23])
def test_no_id_is_cut_however_narrow_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    assert shown(capsys, monkeypatch, room) == [
        "ID        NAME   WHY",
        "12345678  a na…  becau…",
        "2         東京   so",
    ]


def test_nothing_is_cut_for_another_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(capsys, monkeypatch, None)
    assert lines[1] == "12345678  a name that is long  because of this and that"
    wide = shown(capsys, monkeypatch, 10, wide=True)
    assert wide[1] == "12345678  a name that is long  more  because of this and that"


def test_a_column_without_a_cell_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: None)
    table([Column("A"), Column("B")], [["1", ""]], empty="")
    table([Column("A"), Column("B")], [["1", ""]], empty="", wide=True)
    assert capsys.readouterr().out.splitlines() == ["A", "1", "A  B", "1"]


def test_what_folds_is_told_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: 24)
    table(
        [Column("PART"), Column("WHY", least=8, folds=True)],
        [["broker", "no way to /a/path/in/one/piece"]],
        empty="",
    )
    assert capsys.readouterr().out.splitlines() == [
        "PART    WHY",
        "broker  no way to",
        "        /a/path/in/one/piece",
    ]


@pytest.mark.parametrize("room, first", [(17, "ID  OLD  CALLBACK"), (16, "ID  CALLBACK")])
def test_what_is_spare_is_left_out_where_it_does_not_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, room: int, first: str
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: room)
    columns = [Column("ID"), Column("OLD", spare=True), Column("CALLBACK", least=4)]
    table(columns, [["1f", "20d", "http://somewhere"]], empty="")
    header, row = capsys.readouterr().out.splitlines()
    assert (header, row[:2], len(row)) == (first, "1f", room)


def test_the_fullest_list_of_abonnementen_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: 80)
    row = {"UUID": "9d3f2b64", "STATE": "suspended", "WAITING": "1234567", "RETRY": "12345", "OLDEST": "400d"}
    table(abonnement.COLUMNS, [[row.get(column.name, "x" * 40) for column in abonnement.COLUMNS]], empty="")
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


KNOWN = ["5f3a2b1c-0000-4000-8000-000000000001", "5f3a2b1d-0000-4000-8000-000000000002", "id-1", "id-10"]


@pytest.mark.parametrize(
    "typed, meant",
    [
        (KNOWN[0], KNOWN[0]),
        ("5f3a2b1c", KNOWN[0]),
        ("5f3a2b1d-00", KNOWN[1]),
        ("id-1", "id-1"),
        ("id-10", "id-10"),
        ("id-2", None),
        ("xyz", None),
    ],
)
def test_the_one(typed: str, meant: str | None) -> None:
    assert ids.the_one(typed, KNOWN, what="x") == meant


@pytest.mark.parametrize("typed", ["id-", "5f3"])
def test_what_is_too_short_to_tell_is_not_said_to_be_absent(typed: str) -> None:
    with pytest.raises(UsageError, match=f"x {typed}: give at least its first 4 characters"):
        ids.the_one(typed, KNOWN, what="x")


def test_several_that_begin_so_are_named() -> None:
    with pytest.raises(UsageError, match=f"x 5f3a may be any of these: {KNOWN[0]}, {KNOWN[1]}$"):
        ids.the_one("5f3a", KNOWN, what="x")
    many = [f"abcd{number:02}" for number in range(25)]
    with pytest.raises(UsageError, match=r"abcd19 and 5 more$"):
        ids.the_one("abcd", many, what="x")


@pytest.mark.parametrize(
    "seconds, shown",
    [(-5, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (86400 * 400, "400d")],
)
def test_age(seconds: float, shown: str) -> None:
    assert output.age(seconds) == shown


def test_what_is_no_uuid_is_shown_whole() -> None:
    assert [ids.short(each) for each in KNOWN[1:]] == ["5f3a2b1d", "id-1", "id-10"]
