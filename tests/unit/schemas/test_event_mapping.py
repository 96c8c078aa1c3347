"""Which event a notificatie becomes, and what may stand in the options of an abonnement about that."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.delivery_options import DeliveryOptions
from schemas.events.mapping import BUILT_IN, Data, EventMapping, filled, last_part, path_of
from schemas.events.options import CloudEvents, Mode

ZAAK = "https://open-zaak.example.nl/zaken/api/v1/zaken/7b9a"
NOTIFICATIE: dict[str, Any] = {
    "kanaal": "zaken",
    "hoofdObject": ZAAK,
    "resource": "status",
    "resourceUrl": f"{ZAAK.removesuffix('/zaken/7b9a')}/statussen/11",
    "actie": "create",
    "aanmaakdatum": "2026-01-31T12:00:00Z",
    "kenmerken": {"zaaktype.catalogus": "https://c/1", "Bron_Organisatie": "224557609"},
}


@pytest.mark.parametrize(
    ("resource", "actie", "type_"),
    [
        ("status", "create", "nl.overheid.zaken.zaak-gemuteerd"),
        ("zaak", "read", "nl.overheid.zaken.zaak-geopend"),
        ("zaak", "destroy", "nl.overheid.zaken.zaak-verwijderd"),
        ("status", "update", None),
        ("resultaat", "create", None),
    ],
)
def test_what_mijnoverheid_gets_is_what_it_documents(resource: str, actie: str, type_: str | None) -> None:
    rule = BUILT_IN["mijnoverheid"].rule_of({**NOTIFICATIE, "resource": resource, "actie": actie})
    assert (rule.type if rule else None) == type_
    assert rule is None or rule.data is Data.NONE


def test_of_another_kanaal_mijnoverheid_gets_nothing() -> None:
    assert BUILT_IN["mijnoverheid"].rule_of({**NOTIFICATIE, "kanaal": "zaken2"}) is None


def test_the_first_rule_that_fits_counts() -> None:
    mapping = EventMapping.model_validate(
        {"rules": [{"kanaal": "zaken", "actie": "create", "type": "nl.a.b"}, {"type": "nl.c.{kanaal}"}]}
    )
    rules = [mapping.rule_of({**NOTIFICATIE, "actie": actie}) for actie in ("create", "update")]
    assert [filled(rule.type, NOTIFICATIE) for rule in rules if rule] == ["nl.a.b", "nl.c.zaken"]
    assert EventMapping.of_text(mapping.text()) == mapping


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{kanaal}/{resource}/{actie}", "zaken/status/create"),
        ("{hoofdObjectPath}", "/zaken/api/v1/zaken/7b9a"),
        ("{hoofdObjectId} {resourceUrlId}", "7b9a 11"),
        ("{kenmerken.zaaktype.catalogus}", "https://c/1"),
        ("{kenmerken.bronorganisatie}", "224557609"),
        ("{kenmerken.bron}", ""),
        ("plain", "plain"),
    ],
)
def test_texts_name_fields(text: str, result: str) -> None:
    assert filled(text, NOTIFICATIE) == result


def test_parts_of_urls() -> None:
    assert [last_part(url) for url in ("https://a/b/c/", "https://a/b?x=/y", "https://a", "b")] == [
        "c", "b", "https://a", "b",
    ]  # fmt: skip
    assert [path_of(url) for url in ("https://a/b?c#d", "https://a", "/b")] == ["/b?c#d", "/", "/b"]


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "zonder-domein"},
        {"type": "nl.x", "subject": "{onbekend}"},
        {"type": "nl.x", "subject": "{kenmerken.}"},
        {"type": "nl.x", "dataref": "{hoofdObject"},
        {"type": "nl.x", "subject": "{hoofdObject.__class__}"},
        {"type": "nl.x", "data": "alles"},
        {"type": "nl.x", "kanaal": ""},
        {"type": "nl.x", "code": "1"},
        {},
    ],
)
def test_a_rule_that_is_none_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EventMapping.model_validate({"rules": [rule]})


def test_a_mapping_has_rules() -> None:
    with pytest.raises(ValidationError, match="ten minste een regel"):
        EventMapping.model_validate({"rules": []})


def test_options_have_defaults_and_come_back_as_they_were() -> None:
    assert CloudEvents().mode is Mode.STRUCTURED
    asked = {
        "filters": [{"typeSubstring": "zaak", "filters": {"a": "b"}}],
        "mapping": "eigen",
        "allowedRate": 120,
    }
    read = CloudEvents.model_validate(asked)
    again = CloudEvents.model_validate_json(read.model_dump_json(by_alias=True, exclude_defaults=True))
    assert again == read
    assert read.as_filters() == asked["filters"]


def test_a_rate_that_is_kept_is_one_by_which_can_be_sent() -> None:
    """An exception of a rate of next to nothing would reach all that follows the registry."""
    kept = DeliveryOptions.of_text('{"cloudevents": {"allowedRate": 5e-324}}')
    assert kept is not None
    assert kept.most_a_second == pytest.approx(0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"filters": "zaak"},
        {"filters": ["zaak"]},
        {"filters": [{"typeSubstring": "x" * 256}]},
        {"filters": [{"filters": {"a": 1.5, "A": "2"}}]},
        {"mode": "batch"},
        {"mapping": "On Top"},
        {"sequence": "ja"},
        {"allowedRate": 0},
        {"allowedRate": 5e-324},
        {"allowedRate": 0.59},
        {"origin": "a\nb"},
        {"typo": 1},
    ],
)  # fmt: skip
def test_options_that_are_none_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CloudEvents.model_validate(options)
