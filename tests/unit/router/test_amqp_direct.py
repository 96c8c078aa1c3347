"""Queues that consumers read: what is kept of them, what is declared, and what their users may do."""

from __future__ import annotations

import re
from dataclasses import replace
from uuid import uuid4

import orjson
import pytest
from cloudevents.core.bindings import amqp
from cloudevents.core.formats.json import JSONFormat
from pydantic import ValidationError

from deliverer.attempting.settle import Delivery
from deliverer.direct.message import message_of
from deliverer.events.request import Events, Rendered
from nrc.cli.amqp_direct.commands import commands_of
from router import names
from router.amqp_direct.connecting import (
    Connection,
    amqp_abonnement,
    connection_of,
    definitions,
    rights_of,
    vhost_of,
)
from router.amqp_direct.passwords import fits, hash_of, new_password
from router.amqp_direct.queues import AmqpQueue, queue_of
from router.topology import of_abonnement
from runtime.settings import load_settings
from schemas.delivery_options import DeliveryOptions
from tests.make import an_abonnement


def a_queue(**given: object) -> AmqpQueue:
    return AmqpQueue.model_validate(given)


def test_a_queue_is_kept_in_its_url_and_never_changes() -> None:
    uuid = uuid4()
    for queue in (a_queue(), a_queue(maxLength="7", maxBytes=2**20), a_queue(kind="stream", maxAge=60)):
        url = queue.url(uuid)
        assert url.startswith(f"amqp:nrc.amqp.{uuid}?kind={queue.kind}")
        assert queue_of(url) == queue
    assert queue_of(f"{a_queue().url(uuid)}&newer=1") == a_queue(), "what a newer program added"
    assert dict(a_queue().arguments)["x-overflow"] == "reject-publish"
    stream = dict(a_queue(kind="stream").arguments)
    assert stream["x-max-age"] == "604800s"
    assert int(stream["x-stream-max-segment-size-bytes"]) <= int(stream["x-max-length-bytes"]) // 20


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "classic"},
        {"kind": "stream", "maxLength": 5},
        {"maxAge": 60},
        {"maxLength": 0},
        {"maxLength": True},
        {"maxBytes": "veel"},
        {"soort": "quorum"},
    ],
)
def test_what_is_no_queue_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        a_queue(**given)


def test_an_abonnement_of_type_amqp_has_a_second_queue_to_which_nothing_is_bound() -> None:
    uuid = uuid4()
    new = amqp_abonnement(uuid, of=a_queue(), kanalen=(), client_id="a", password="x" * 20)
    topology = of_abonnement(new, {})
    assert [queue.name for queue in topology.queues] == [names.abonnement_queue(uuid), names.amqp_queue(uuid)]
    assert all(binding.destination == topology.queue.name for binding in topology.bindings)
    assert of_abonnement(replace(new, callback_url="https://a.nl/"), {}).queues == (topology.queue,)
    assert not an_abonnement().is_amqp
    assert "x" * 20 not in repr(new)
    assert new.auth not in repr(new)


def test_a_user_may_read_its_queue_alone() -> None:
    uuid = uuid4()
    user = names.amqp_queue(uuid)
    rights = rights_of(user)
    assert re.match(rights["read"], user)
    others = (names.abonnement_queue(uuid), names.amqp_queue(uuid4()), user + "x", user.replace(".", "_"), "")
    assert not any(re.match(rights["read"], other) for other in others)
    for right in ("configure", "write"):
        assert not any(re.match(rights[right], other) for other in (user, *others[:-1], "amq.default"))
    assert names.abonnement_of_amqp(user) == uuid
    assert names.abonnement_of_amqp("nrc.amqp.mine") is None
    assert names.abonnement_of_amqp("guest") is None


def test_a_hash_is_that_of_rabbitmq() -> None:
    # RabbitMQ's own example (Credentials and Passwords): test12 with the salt 908DC60A.
    assert (
        hash_of("test12", salt=bytes.fromhex("908DC60A"))
        == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    )
    password = new_password()
    assert fits(password, hash_of(password))
    assert not fits(password, hash_of("another"))
    assert not fits("", hash_of(""))
    assert not fits(password, "Token abc")


def test_how_one_connects_has_no_password() -> None:
    new = amqp_abonnement(uuid4(), of=a_queue(), kanalen=(), client_id="a", password="geheim" * 5)
    settings = load_settings(_env_file=None, amqp_url="amqp://nrc:wachtwoord@rabbitmq:5672/ons?heartbeat=5")
    connection = connection_of(new, settings)
    assert connection.url == "amqp://rabbitmq:5672/ons"
    assert vhost_of(connection.url) == "ons"
    assert vhost_of("amqp://rabbitmq/") == vhost_of("amqp://rabbitmq") == "/"
    outside = settings.model_copy(update={"amqp_direct_url": "amqps://buiten.nl/ons"})
    assert connection_of(new, outside).url == "amqps://buiten.nl/ons"
    told = definitions([new], vhost="ons")
    assert told["users"][0]["password_hash"] == new.auth
    assert told["permissions"] == [{"user": connection.user, "vhost": "ons", **rights_of(connection.user)}]


MESSAGE = {
    "kanaal": "zaken",
    "hoofdObject": "https://zaken.nl/1",
    "resource": "zaak",
    "resourceUrl": "https://zaken.nl/1",
    "actie": "create",
    "aanmaakdatum": "2026-03-27T10:59:13Z",
    "kenmerken": {"zaaktype": "é"},
}


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_cloudevents_sdk_reads_the_event(mode: str) -> None:
    options = DeliveryOptions.model_validate({"cloudevents": {"mode": mode}})
    body = orjson.dumps(MESSAGE)
    events = Events(dict, source="urn:nld:oin:1:systeem:é")
    made = events.of(options, id="abc", body=body)
    assert isinstance(made, Rendered)
    message = message_of(a_delivery(), body=made.body, headers={"Authorization": "geheim", **made.headers})
    # As the AMQP binding has it: headers of 0.9.1 are application properties of 1.0.
    found = amqp.from_amqp(
        amqp.AMQPMessage({"content-type": message.content_type}, dict(message.headers), bytes(message.body)),
        JSONFormat(),
    )
    assert (found.get_id(), found.get_source()) == ("abc", "urn:nld:oin:1:systeem:é")
    assert found.get_data()["zaaktype"] == "é"
    if mode == "structured":
        assert message.content_type == "application/cloudevents+json"
    else:
        assert message.headers["cloudEvents_id"] == "abc"


def a_delivery() -> Delivery:
    delivery = Delivery.__new__(Delivery)
    for name, value in {"notificatie": "1", "abonnement": uuid4(), "body": b"{}", "timestamp": None}.items():
        object.__setattr__(delivery, name, value)
    return delivery


def test_a_message_has_what_a_callback_gets_but_the_authorization() -> None:
    delivery = a_delivery()
    headers = {"Authorization": "geheim", "webhook-id": "1", "nrc-attempt": "2"}
    plain = message_of(delivery, body=b"{}", headers=headers)
    assert (plain.content_type, plain.message_id, dict(plain.headers)) == (
        "application/json",
        "1",
        {"nrc-attempt": "2"},
    )
    binary = {**headers, "Content-Type": "application/json", "ce-type": "a%20b", "ce-specversion": "1.0"}
    assert dict(message_of(delivery, body=b"{}", headers=binary).headers) == {
        "nrc-attempt": "2",
        "cloudEvents_type": "a b",
        "cloudEvents_specversion": "1.0",
    }
    structured = {**headers, "content-type": "application/cloudevents+json"}
    assert message_of(delivery, body=b"{}", headers=structured).content_type == "application/cloudevents+json"


def test_a_password_is_no_option_to_rabbitmqctl(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(("-abc", "abc-"))
    monkeypatch.setattr("secrets.token_urlsafe", lambda size: next(made))

    assert new_password() == "abc-"


def test_rabbitmq_is_told_to_change_the_password_of_a_user_that_it_has() -> None:
    known = Connection(url="amqp://rabbitmq/", user="nrc.amqp.1", queue="nrc.amqp.1", of=a_queue())

    assert commands_of(known, "abc", renewed=True) == ["rabbitmqctl change_password nrc.amqp.1 'abc'"]
    assert commands_of(known, "abc", renewed=False)[0] == "rabbitmqctl add_user nrc.amqp.1 'abc'"
