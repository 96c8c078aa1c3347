"""`nrc abonnement options` on a real registry file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from schemas.abonnement import Abonnement
from store.opening import open_registry
from store.registry import Changes
from tests.command import make_registry, nrc
from tests.make import a_kanaal, an_abonnement


@pytest.fixture
def kept(tmp_path: Path) -> Abonnement:
    make_registry(tmp_path)

    async def work() -> Abonnement:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.add_kanaal(a_kanaal("zaken"))
            return await registry.add_abonnement(an_abonnement(("zaken", {})))

    return asyncio.run(work())


def look(folder: Path) -> Changes:
    async def work() -> Changes:
        async with open_registry(folder / "registry.db") as registry:
            return await registry.changes_since(0)

    return asyncio.run(work())


def test_options_are_set_shown_and_taken_away(tmp_path: Path, kept: Abonnement) -> None:
    uuid = str(kept.uuid)
    assert nrc(tmp_path, "abonnement", "options", uuid[:8]).out == f"{uuid} no options\n"
    ran = nrc(tmp_path, "abonnement", "options", uuid, "--set", "rate=5", "--set", "concurrency=2")
    assert (ran.code, ran.out) == (0, f"{uuid} rate=5, concurrency=2\n"), ran.err
    url = f"https://nrc.example.nl/api/v1/abonnement/{uuid}"
    ran = nrc(tmp_path, "abonnement", "options", url, "--set", "rate=0.5", "--unset", "concurrency", "--json")
    assert ran.json() == {"rate": 0.5}
    (found,) = look(tmp_path).abonnementen
    assert found.options is not None
    assert (found.options.as_given(), found.kanalen_change) == ({"rate": 0.5}, kept.kanalen_change)
    assert "options:     rate=0.5\n" in nrc(tmp_path, "abonnement", "show", uuid).out
    assert nrc(tmp_path, "abonnement", "list", "--json").json()[0]["options"] == {"rate": 0.5}
    trail = nrc(tmp_path, "audit-trail", "--json").json()
    assert trail[0]["act"] == "delivery options changed"
    assert trail[0]["facts"] == {"abonnement": uuid, "options": {"rate": 0.5}}
    assert nrc(tmp_path, "abonnement", "options", uuid, "--unset", "rate").out == f"{uuid} no options\n"
    (found,) = look(tmp_path).abonnementen
    assert found.options is None


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("--set", "rate=much"), "rate: Dit is een getal van 0,01 tot en met 10000"),
        (("--set", "rate"), "rate: give NAME=VALUE"),
        (("--set", "speed=5"), "there is no option speed; there are rate, concurrency"),
        (("--unset", "speed"), "there is no option speed"),
    ],
)
def test_what_is_typed_wrong_is_told(
    tmp_path: Path, kept: Abonnement, typed: tuple[str, ...], told: str
) -> None:
    ran = nrc(tmp_path, "abonnement", "options", str(kept.uuid), *typed)
    assert (ran.code, told in ran.err) == (2, True), ran.err


def test_where_they_are_off_none_is_set(tmp_path: Path, kept: Abonnement) -> None:
    off = {"NRC_DELIVERY_OPTIONS": "false"}
    ran = nrc(tmp_path, "abonnement", "options", str(kept.uuid), "--set", "rate=5", env=off)
    assert (ran.code, "NRC_DELIVERY_OPTIONS is off" in ran.err) == (2, True), ran.err


def test_a_mapping_that_there_is_not_is_told(tmp_path: Path, kept: Abonnement) -> None:
    ran = nrc(tmp_path, "abonnement", "options", str(kept.uuid), "--set", 'cloudevents={"mapping": "nope"}')

    assert (ran.code, "Er is geen mapping nope; er zijn: on, gemma, mijnoverheid" in ran.err) == (2, True)
