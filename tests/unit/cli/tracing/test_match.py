"""`nrc match` on a real registry file: whom a notificatie would reach, and why not the others."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from nrc.cli.tracing import layout
from schemas.abonnement import Abonnement, State
from schemas.delivery_options import DeliveryOptions
from schemas.events.mapping import EventMapping, Rule
from schemas.events.options import CloudEvents
from store.opening import open_registry
from tests.command import make_registry, nrc
from tests.make import a_kanaal, an_abonnement

NOTIFICATIE = {
    "kanaal": "zaken",
    "hoofdObject": "https://zaken.example.nl/api/v1/zaken/ddc6d192",
    "resource": "status",
    "resourceUrl": "https://zaken.example.nl/api/v1/statussen/44fdcebf",
    "actie": "create",
    "aanmaakdatum": "2019-03-27T10:59:13Z",
    "kenmerken": {"vertrouwelijkheidaanduiding": "openbaar"},
}


def body(**changed: object) -> bytes:
    return json.dumps(NOTIFICATIE | changed).encode()


@pytest.fixture
def kept(tmp_path: Path) -> list[Abonnement]:
    """Abonnementen that want all, the same in other letters, and another kanaal; the first is suspended."""
    everything = [
        replace(an_abonnement(*groups), uuid=UUID(int=number << 112), client_id=client)
        for number, (client, groups) in enumerate(
            [
                ("zac", [("zaken", {})]),
                ("archief", [("zaken", {"vertrouwelijkheidaanduiding": "Openbaar"})]),
                ("geo", [("documenten", {})]),
            ],
            start=0xABC0,
        )
    ]
    everything[0] = replace(everything[0], state=State.SUSPENDED)

    async def work() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.add_kanaal(a_kanaal("zaken", "vertrouwelijkheidaanduiding"))
            await registry.add_kanaal(a_kanaal("documenten"))
            for each in reversed(everything):
                await registry.add_abonnement(each)

    asyncio.run(work())
    return everything


def test_those_that_get_it_come_first_and_each_has_its_reason(tmp_path: Path, kept: list[Abonnement]) -> None:
    ran = nrc(tmp_path, "match", "-", stdin=body())
    assert (ran.code, ran.err) == (0, "1 of 3 would get it\n")
    assert ran.out.splitlines() == [
        "yes  abc00000  zac      suspended",
        "     Past: er is geen filter op kanaal zaken.",
        "no   abc10000  archief  active",
        "     Niet voor dit abonnement: filter vertrouwelijkheidaanduiding is 'Openbaar', de notificatie "
        "heeft "
        "'openbaar'. Waarden worden letterlijk vergeleken; dit verschilt alleen in hoofdletters.",
        "no   abc20000  geo      active",
        "     Niet voor dit abonnement: het is geabonneerd op kanaal documenten; deze notificatie is van "
        "kanaal "
        "zaken.",
    ]
    wide = nrc(tmp_path, "match", "-", "--wide", stdin=body())
    assert wide.out.startswith(f"yes  {kept[0].uuid}  zac ")


def test_from_a_file_for_one_abonnement(tmp_path: Path, kept: list[Abonnement]) -> None:
    (tmp_path / "n.json").write_bytes(body())
    for number, code in enumerate([0, 1, 1]):
        ran = nrc(tmp_path, "match", "n.json", "--abonnement", f"abc{number}", "--json")
        assert ran.code == code
        (only,) = ran.json()
        assert only["abonnement"] == str(kept[number].uuid)
        assert only["matches"] is (code == 0)
    assert only["code"] == "other_kanaal"
    assert (only["subscribed"], only["kanaal"]) == (["documenten"], "zaken")
    ran = nrc(tmp_path, "match", "n.json", "--abonnement", "ffff")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "nrc: there is no abonnement ffff: `nrc abonnement list` shows which there are.\n"


@pytest.mark.parametrize(
    ("mapping", "actie", "code", "text"),
    [
        ("on", "update", "matches", "Past: er is geen filter op kanaal zaken."),
        ("mijnoverheid", "create", "matches", "Past: er is geen filter op kanaal zaken."),
        (
            "mijnoverheid",
            "update",
            "no_event",
            "Past, maar wordt niet verzonden: in de mapping mijnoverheid wordt zaken/status/update geen "
            "CloudEvent. MijnOverheid krijgt alleen zaken/status/create, zaken/zaak/read en "
            "zaken/zaak/destroy.",
        ),
        ("eigen", "create", "matches", "Past: er is geen filter op kanaal zaken."),
        (
            "eigen",
            "update",
            "no_event",
            "Past, maar wordt niet verzonden: in de mapping eigen wordt zaken/status/update geen CloudEvent.",
        ),
        (
            "weg",
            "create",
            "no_mapping",
            "Past, maar aankomen kan zij niet: de mapping weg naar CloudEvents is er niet (meer). Elke "
            "poging mislukt, tot die mapping er weer is of het abonnement een andere heeft.",
        ),
    ],
)
def test_what_the_mapping_of_an_abonnement_makes_of_it(
    tmp_path: Path, kept: list[Abonnement], mapping: str, actie: str, code: str, text: str
) -> None:
    own = EventMapping(rules=(Rule(actie="create", type="nl.voorbeeld.{kanaal}"),))
    options = DeliveryOptions(cloudevents=CloudEvents(mapping=mapping))

    async def work() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.set_event_mapping("eigen", own)
            await registry.change_abonnement(kept[0].uuid, lambda each: replace(each, options=options))

    asyncio.run(work())
    ran = nrc(tmp_path, "match", "-", "--abonnement", "zac", "--json", stdin=body(actie=actie))
    (only,) = ran.json()
    assert (only["code"], only["text"]) == (code, text)
    assert only["matches"] is (code == "matches")
    assert ran.code == (code != "matches")
    if code == "no_event":
        assert (only["mapping"], only["what"]) == (mapping, f"zaken/status/{actie}")


@pytest.mark.usefixtures("kept")
def test_it_fits_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "terminal_width", lambda: 80)
    lines = nrc(tmp_path, "match", "-", stdin=body()).out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(("yes  abc", "no   abc", "     ")) for line in lines)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("sent", "faults"),
    [
        (body(kanaal="Zaken"), ["kanaal: message_kanaal: Er bestaat geen kanaal 'Zaken'."]),
        (
            body(kenmerken={"b": "1"}, actie=""),
            [
                "actie: blank: Dit veld mag niet leeg zijn.",
                "kenmerken: kenmerken_inconsistent: De kenmerken komen niet overeen met de filters van "
                "kanaal 'zaken': dat heeft geen 'b', en in de notificatie ontbreekt "
                "'vertrouwelijkheidaanduiding'. Een van beide mag.",
            ],
        ),
    ],
)
def test_faults_are_those_of_the_api(tmp_path: Path, sent: bytes, faults: list[str]) -> None:
    ran = nrc(tmp_path, "match", "-", stdin=sent)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "nrc: standard input would be refused: 400 invalid: Een of meer velden zijn ongeldig; zie "
        "invalidParams.",
        *(f"nrc: {fault}" for fault in faults),
    ]
    answer = nrc(tmp_path, "match", "-", "--json", stdin=sent).json()
    assert answer["status"] == 400
    assert [each["name"] for each in answer["invalidParams"]] == [fault.split(":")[0] for fault in faults]


@pytest.mark.usefixtures("kept")
def test_what_is_no_json_or_too_large(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "match", "-", stdin=b"{")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("nrc: standard input would be refused: 400 parse_error: ")
    ran = nrc(tmp_path, "match", "-", stdin=body(more="x" * 1024), env={"NRC_MAX_BODY": "1024"})
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("nrc: standard input would be refused: 413 request_too_large: ")


def test_without_abonnementen(tmp_path: Path) -> None:
    make_registry(tmp_path)
    nrc(tmp_path, "kanaal", "add", "zaken")
    ran = nrc(tmp_path, "match", "-", stdin=body())
    assert (ran.code, ran.out, ran.err) == (1, "", "no abonnementen\n")
