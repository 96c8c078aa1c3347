"""`nrc mapping list` and `show` on a real registry file."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from schemas.abonnement import Abonnement
from schemas.delivery_options import DeliveryOptions
from schemas.events.mapping import EventMapping, Rule
from schemas.events.options import CloudEvents
from store.opening import open_registry
from tests.command import nrc
from tests.make import a_kanaal, an_abonnement

OWN = EventMapping(
    rules=(
        Rule(kanaal="zaken", actie="update", type="nl.example.zaak-bijgewerkt", dataref="{hoofdObject}"),
        Rule(type="nl.example.{kanaal}.{actie}"),
    )
)


def with_mapping(number: int, client: str, mapping: str | None) -> Abonnement:
    options = None if mapping is None else DeliveryOptions(cloudevents=CloudEvents(mapping=mapping))
    made = replace(an_abonnement(("zaken", {})), uuid=UUID(int=number << 112), client_id=client)
    return replace(made, options=options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Abonnementen with an own mapping (two), a built-in one, one that is not there, and none."""

    async def work() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.add_kanaal(a_kanaal("zaken"))
            for number, (client, mapping) in enumerate(
                [("zac", "gemeente"), ("archief", "gemeente"), ("omc", "mijnoverheid"), ("geo", None)],
                start=0xABC0,
            ):
                if mapping == "gemeente":
                    await registry.set_event_mapping("gemeente", OWN)
                await registry.add_abonnement(with_mapping(number, client, mapping))

    asyncio.run(work())
    return tmp_path


def test_the_list_has_built_in_ones_and_those_of_a_setup_file(folder: Path) -> None:
    ran = nrc(folder, "mapping", "list")
    assert ran.code == 0
    assert [line.split() for line in ran.out.splitlines()] == [
        ["NAME", "FROM", "RULES", "ABONNEMENTEN"],
        ["on", "built", "in", "1", "0"],
        ["gemma", "built", "in", "1", "0"],
        ["mijnoverheid", "built", "in", "3", "1"],
        ["gemeente", "setup", "file", "2", "2"],
    ]
    told = {each["name"]: each for each in nrc(folder, "mapping", "list", "--json").json()}
    assert (told["on"]["builtIn"], told["gemeente"]["builtIn"]) == (True, False)
    assert told["gemeente"]["abonnementen"] == [str(UUID(int=number << 112)) for number in (0xABC1, 0xABC0)]


def test_one_with_its_rules_and_the_abonnementen_that_have_it(folder: Path) -> None:
    out = nrc(folder, "mapping", "show", "gemeente").out
    assert out.startswith("gemeente: setup file\n")
    assert [line.split() for line in out.splitlines() if line][2:] == [
        [
            "zaken",
            "*",
            "update",
            "nl.example.zaak-bijgewerkt",
            "kenmerken",
            "{hoofdObject}",
            "{resourceUrlId}",
        ],
        ["*", "*", "*", "nl.example.{kanaal}.{actie}", "kenmerken", "{resourceUrlId}"],
        ["ABONNEMENT", "APPLICATION", "CALLBACK"],
        ["abc10000", "archief", an_abonnement().callback_url],
        ["abc00000", "zac", an_abonnement().callback_url],
    ]
    facts = nrc(folder, "mapping", "show", "mijnoverheid", "--json").json()
    assert [rule["type"] for rule in facts["rules"]] == [
        *("nl.overheid.zaken.zaak-gemuteerd", "nl.overheid.zaken.zaak-geopend"),
        "nl.overheid.zaken.zaak-verwijderd",
    ]
    assert "no abonnement has it" in nrc(folder, "mapping", "show", "gemma").err
    assert str(UUID(int=0xABC2 << 112)) in nrc(folder, "mapping", "show", "mijnoverheid", "--wide").out


def test_one_that_is_not_there(folder: Path) -> None:
    ran = nrc(folder, "mapping", "show", "x")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no mapping x; there are on, gemma, mijnoverheid, gemeente" in ran.err


def test_one_that_an_abonnement_has_and_that_is_gone(folder: Path) -> None:
    async def work() -> None:
        async with open_registry(folder / "registry.db") as registry:
            await registry.add_abonnement(with_mapping(0xABC9, "oud", "weg"))

    asyncio.run(work())
    assert "weg" in nrc(folder, "mapping", "list").out.splitlines()[-1]
    ran = nrc(folder, "mapping", "show", "weg")
    assert ran.out.startswith("weg: not there: deliveries fail\n")
    assert "abc90000" in ran.out
    assert nrc(folder, "mapping", "show", "weg", "--json").json()["rules"] is None
