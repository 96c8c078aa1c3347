"""The check before sending, and reading a message from a queue."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from deliverer.attempting.deliver import prepare
from deliverer.attempting.settle import Origin
from deliverer.attempting.wanted import wants
from router.history import History
from schemas.abonnement import Abonnement
from tests.make import an_abonnement

FILTERED = an_abonnement(("zaken", {"bronorganisatie": "1", "object_type": "*"}), ("besluiten", {}))
UNFILTERED = an_abonnement(("zaken", {}), ("besluiten", {"a": "*"}))


@pytest.mark.parametrize(
    ("abonnement", "body", "wanted"),
    [
        (FILTERED, b'{"kanaal": "zaken", "kenmerken": {"bronorganisatie": "1"}}', True),
        (FILTERED, b'{"kanaal": "zaken", "kenmerken": {"bron_organisatie": "1"}}', True),
        (FILTERED, b'{"kanaal": "zaken", "kenmerken": {"bronorganisatie": "2"}}', False),
        (FILTERED, b'{"kanaal": "zaken", "kenmerken": {"other": "2"}}', True),
        (FILTERED, b'{"kanaal": "zaken", "kenmerken": {}}', True),
        (FILTERED, b'{"kanaal": "zaken"}', True),
        (FILTERED, b'{"kanaal": "besluiten", "kenmerken": {"bronorganisatie": "2"}}', True),
        (FILTERED, b'{"kanaal": "documenten", "kenmerken": {"bronorganisatie": "1"}}', False),
        (FILTERED, rb'{"kanaal": "zaken", "kenmerken": {"bronorganisatie": "2"}, "x": "\ud800"}', False),
        (
            FILTERED,
            rb'{"kanaal": "zaken", "kenmerken": {"bronorganisatie": "1"}, "x": 123456789012345678901}',
            True,
        ),
        (FILTERED, b'{"kanaal": "zaken", "x": ' + b"[" * 1500 + b"]" * 1500 + b"}", True),
        (FILTERED, b"", True),
        (FILTERED, b"\xff", True),
        (FILTERED, b"[]", True),
        (FILTERED, b'{"kanaal": "zaken", "kenmerken": []}', True),
        (FILTERED, b'{"kanaal": 5, "kenmerken": {}}', False),
        (FILTERED, b'{"kenmerken": {}}', True),
        (UNFILTERED, b'{"kanaal": "documenten"}', False),
        (UNFILTERED, b'{"kanaal": "zaken"}', True),
        (UNFILTERED, b"not read at all", True),
    ],
)
def test_the_check(abonnement: Abonnement, body: bytes, wanted: bool) -> None:
    assert wants(abonnement, body) is wanted


def prepared(**properties: Any) -> Any:
    message = DeliveredMessage(
        delivery=Basic.Deliver(consumer_tag="c", delivery_tag=7),
        header=ContentHeader(properties=Basic.Properties(**properties)),
        body=b"body",
        channel=cast(Any, None),
    )
    return prepare(
        message,
        abonnement=FILTERED.uuid,
        origin=Origin(cast(Any, None)),
        consumer_stopped=asyncio.Event(),
    )


def test_a_message_as_the_gateway_publishes_it() -> None:
    delivery = prepared(message_id="id-1", headers={"k.bronorganisatie": "1"})
    assert (delivery.notificatie, delivery.body, delivery.tag) == ("id-1", b"body", 7)
    assert delivery.kept == {"k.bronorganisatie": "1"}
    assert delivery.history == History()


def test_a_message_without_anything_gets_an_id() -> None:
    assert len(prepared().notificatie) == 36
    assert prepared().notificatie != prepared().notificatie


@pytest.mark.parametrize("put_by_hand", ["two\r\nlines", "☂", "tab\t", " ", "\x00"])
def test_an_id_that_no_header_holds_becomes_one_that_stays_the_same(put_by_hand: str) -> None:
    notificatie = prepared(message_id=put_by_hand).notificatie
    assert UUID(notificatie).version == 5
    assert prepared(message_id=put_by_hand).notificatie == notificatie
