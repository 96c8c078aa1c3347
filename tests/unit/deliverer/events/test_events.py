"""The CloudEvent that a notificatie becomes, as the CloudEvents SDK reads it, by the NL GOV profile."""

import json
from typing import Any
from uuid import UUID

import pytest

from deliverer.events.handshake import Consent, consent_of
from deliverer.events.request import NoEvent, Rendered, rendered
from ledger.ids import new_id
from schemas.events.mapping import BUILT_IN, EventMapping
from schemas.events.options import CloudEvents, Mode
from tests.contract.nl_gov import assert_event, event_of

SOURCE = "urn:nld:oin:00000001823288444000:systeem:nrc"
ID = str(new_id(at=1769860800.0))
ROOT = "https://open-zaak.example.nl/zaken/api/v1"
NOTIFICATIE: dict[str, Any] = {
    "kanaal": "zaken",
    "hoofdObject": f"{ROOT}/zaken/7b9a",
    "resource": "status",
    "resourceUrl": f"{ROOT}/statussen/11",
    "actie": "create",
    "aanmaakdatum": "2026-01-31T12:00:00Z",
    "kenmerken": {"bronorganisatie": "224557609", "zaaktype": "https://c/zaaktypen/1"},
}


def made(
    notificatie: dict[str, Any] | bytes = NOTIFICATIE, mapping: str | EventMapping = "on", **asked: Any
) -> Rendered | NoEvent:
    body = notificatie if isinstance(notificatie, bytes) else json.dumps(notificatie).encode()
    rules = BUILT_IN[mapping] if isinstance(mapping, str) else mapping
    name = mapping if isinstance(mapping, str) else "own"
    return rendered(body, CloudEvents(mapping=name, **asked), rules, id=ID, source=SOURCE)


def read(found: Rendered | NoEvent) -> tuple[dict[str, Any], Any]:
    """Attributes and data, as the SDK reads them, once the rules of the profile hold."""
    assert isinstance(found, Rendered)
    for value in found.headers.values():
        assert value.isascii() and value.isprintable()
    event = event_of(found.headers.items(), found.body)
    attributes = dict(event.get_attributes())
    assert UUID(attributes["id"])
    return attributes, event.get_data()


@pytest.mark.parametrize("mode", list(Mode))
def test_as_open_notificaties_makes_it(mode: Mode) -> None:
    attributes, data = read(made(mode=mode))
    assert attributes.pop("time").isoformat() == "2026-01-31T12:00:00+00:00"
    assert attributes == {
        "specversion": "1.0",
        "id": ID,
        "source": SOURCE,
        "type": "nl.overheid.zaken.status.create",
        "subject": "11",
        "datacontenttype": "application/json",
    }
    assert data == {**NOTIFICATIE["kenmerken"], "hoofdObject": NOTIFICATIE["hoofdObject"]}


@pytest.mark.parametrize("mode", list(Mode))
def test_by_the_proposal_the_data_is_the_notificatie_byte_for_byte(mode: Mode) -> None:
    body = b'{"kanaal":"zaken", "extra": 1.000000000000000000010, "e":"\\ud800", "resource":"r","actie":"a",'
    body += b'"resourceUrl":"http://x/1","hoofdObject":"http://x/1","aanmaakdatum":"2026-01-31T12:00:00Z"}'
    found = made(body, "gemma", mode=mode)
    assert isinstance(found, Rendered)
    assert body in found.body
    _, data = read(found)
    assert data["kanaal"] == "zaken"


def test_mijnoverheid_gets_a_reference_and_no_data() -> None:
    attributes, data = read(made(mapping="mijnoverheid"))
    assert attributes["type"] == "nl.overheid.zaken.zaak-gemuteerd"
    assert attributes["dataref"] == "/zaken/api/v1/zaken/7b9a"
    assert attributes["subject"] == "7b9a"
    assert data is None
    assert "datacontenttype" not in attributes


def test_what_mijnoverheid_does_not_know_is_not_sent() -> None:
    found = made({**NOTIFICATIE, "resource": "resultaat"}, "mijnoverheid")
    assert found == NoEvent("mijnoverheid: zaken/resultaat/create")


def test_an_own_mapping() -> None:
    mapping = EventMapping.model_validate(
        {
            "rules": [
                {
                    "kanaal": "zaken",
                    "type": "nl.gemeente.{kanaal}.{actie}",
                    "data": "notificatie",
                    "dataref": "{hoofdObject}?x={kenmerken.bron organisatie}",
                    "subject": "{kenmerken.bronorganisatie}",
                }
            ]
        }
    )
    attributes, data = read(
        made({**NOTIFICATIE, "kenmerken": {"bron organisatie": "a b", **NOTIFICATIE["kenmerken"]}}, mapping)
    )
    assert attributes["type"] == "nl.gemeente.zaken.create"
    assert attributes["dataref"] == f"{ROOT}/zaken/7b9a?x=a%20b"
    assert attributes["subject"] == "224557609"
    assert data["kanaal"] == "zaken"
    assert isinstance(made({**NOTIFICATIE, "kanaal": "documenten"}, mapping), NoEvent)


@pytest.mark.parametrize("mode", list(Mode))
def test_any_text_fits_into_an_attribute(mode: Mode) -> None:
    odd = {**NOTIFICATIE, "resource": 'é "x"\n%', "resourceUrl": f"{ROOT}/x/ü%20 €/"}
    attributes, _ = read(made(odd, mode=mode))
    assert attributes["type"] == 'nl.overheid.zaken.é "x"%.create'
    assert attributes["subject"] == "ü%20 €"


@pytest.mark.parametrize(
    ("own", "source"),
    [("urn:nld:kvk:12345678:x", "urn:nld:kvk:12345678:x"), ("a b", SOURCE), (3, SOURCE), ("", SOURCE)],
)
def test_the_source_of_the_notificatie_goes_before_ours(own: Any, source: str) -> None:
    attributes, _ = read(made({**NOTIFICATIE, "source": own}))
    assert attributes["source"] == source


@pytest.mark.parametrize(
    ("aanmaakdatum", "time"),
    [
        ("2026-01-31 12:00:00+01:00", "2026-01-31T12:00:00+01:00"),
        ("2026-01-31t12:00z", "2026-01-31T12:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456789Z"),
    ],
)
def test_the_time_is_rfc_3339(aanmaakdatum: str, time: str) -> None:
    found = made({**NOTIFICATIE, "aanmaakdatum": aanmaakdatum})
    assert isinstance(found, Rendered)
    assert json.loads(found.body)["time"] == time


def test_a_sequence_orders_by_acceptance_and_promises_no_more() -> None:
    attributes, _ = read(made(sequence=True))
    assert attributes["sequence"] == "0001769860800000"
    assert "sequencetype" not in attributes
    assert "sequence" not in read(made())[0]


def test_once_a_callback_agreed_it_is_told_who_sends() -> None:
    found = made(origin="nrc.example.nl")
    assert isinstance(found, Rendered)
    assert found.headers["WebHook-Request-Origin"] == "nrc.example.nl"


@pytest.mark.parametrize(
    "data",
    [{"data": {"a": 1.0}}, {"data_base64": "AAH/"}, {}, {"data": "tekst", "datacontenttype": "text/plain"}],
)
@pytest.mark.parametrize("mode", list(Mode))
def test_an_event_that_came_in_as_one_goes_on_with_all_that_it_has(mode: Mode, data: dict[str, Any]) -> None:
    event = {
        "specversion": "1.0", "id": "7b9a0000-0000-4000-8000-000000000000", "source": "urn:x",
        "type": "nl.overheid.taken.externetaak-geregistreerd", "dataref": "/x", "eigen": "é", **data,
    }  # fmt: skip
    body = json.dumps(event).encode()
    found = made(body, mode=mode)
    assert isinstance(found, Rendered)
    if mode is Mode.STRUCTURED:
        assert found.body == body
    attributes, got = read(found)
    assert (attributes["id"], attributes["dataref"], attributes["eigen"]) == (event["id"], "/x", "é")
    if "data_base64" in data:
        assert found.body == b"\x00\x01\xff" if mode is Mode.BINARY else got == b"\x00\x01\xff"
    elif data:
        assert got == data["data"]


@pytest.mark.parametrize("body", [b"[]", b"geen json", b'"specversion"'])
def test_what_cannot_be_read_is_sent_as_it_is(body: bytes) -> None:
    assert made(body) == Rendered(body, {})


@pytest.mark.parametrize(
    ("headers", "consent"),
    [
        ({}, None),
        ({"WebHook-Allowed-Origin": "elders.nl"}, None),
        (
            {"WebHook-Allowed-Origin": "NRC.example.nl", "WebHook-Allowed-Rate": "120"},
            Consent("nrc.example.nl", 120.0),
        ),
        ({"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*"}, Consent("nrc.example.nl", None)),
        ({"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "0"}, Consent("nrc.example.nl", None)),
        ({"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "veel"}, Consent("nrc.example.nl", None)),
    ],
)
def test_only_the_header_is_consent(headers: dict[str, str], consent: Consent | None) -> None:
    assert consent_of(headers, origin="nrc.example.nl") == consent


@pytest.mark.parametrize(
    "data",
    [
        b'"\\ud800"',  # half a character
        b"[" * 1_000 + b"]" * 1_000,  # nested deeper than is read here
    ],
)
def test_an_event_that_cannot_be_binary_is_sent_structured(data: bytes) -> None:
    body = (
        b'{"specversion": "1.0", "id": "1", "source": "urn:a", "type": "t", "datacontenttype": "text/plain", '
        b'"data": ' + data + b"}"
    )
    found = made(body, mode=Mode.BINARY)
    assert isinstance(found, Rendered)
    assert found.body == body


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"id": ""}, "id"),
        ({"source": "a b"}, "source"),
        ({"type": "zaak"}, "type"),
        ({"type": "nl.overheid.zaken.v1.zaak.v2"}, "type"),
        ({"specversion": "0.3"}, "specversion"),
        ({"subject": ""}, "subject"),
        ({"time": "2026-01-31 12:00:00"}, "time"),
        ({"dataref": "/zaken/é"}, "dataref"),
        ({"Zaak": "1"}, "the event"),
        ({"zaak": {"a": 1}}, "zaak"),
        ({"getal": 2**31}, "getal"),
        ({"data_base64": "AA=="}, "the event"),
    ],
)
def test_the_judge_of_the_profile_sees_what_breaks_it(changes: dict[str, Any], name: str) -> None:
    event = json.loads(made().body)  # type: ignore[union-attr]
    assert_event(json.dumps(event).encode())
    with pytest.raises(AssertionError, match=rf"^{name}: "):
        assert_event(json.dumps({**event, **changes}).encode())
