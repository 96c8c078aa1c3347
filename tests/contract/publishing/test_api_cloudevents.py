"""POST /cloudevents: its three forms, what is refused, repeats over gateways, and where events go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from gateway import accepting
from ledger.ledger import Ledger
from ledger.opening import ledger_of
from ledger.reopening import ReopenedLedger
from ledger.values import Event as LedgerEvent
from ledger.values import Search, State
from router.registering import change_abonnement
from router.requests import RouterClient
from runtime.amqp import Link
from schemas.abonnement import Abonnement
from schemas.delivery_options import DeliveryOptions
from schemas.errors import LedgerError
from schemas.events.event import BATCH, STRUCTURED
from schemas.fields import EVENTS
from tests.contract.api import Answer, Api, a_naam, abonnement_of, message
from tests.contract.conftest import Stage
from tests.contract.publishing.refusing import refuse
from tests.eventually import eventually

SOURCE = "urn:nld:oin:00000001823288444000:systeem:zaken"
ID = "nrc-notificatie-id"


@pytest.fixture(scope="module")
async def events(stage: Stage) -> AsyncIterator[Api]:
    """A gateway that takes events."""
    async with stage.gateway(cloudevents=True) as api:
        yield api


def an_event(**changes: Any) -> dict[str, Any]:
    """As notifications-api-common sends it."""
    return {
        "id": str(uuid4()),
        "source": SOURCE,
        "specversion": "1.0",
        "type": "nl.overheid.zaken.zaak-geopend",
        "subject": "7b9a4d7c",
        "time": "2026-01-31T12:00:00Z",
        "dataref": "/zaken/api/v1/zaken/7b9a4d7c",
        "datacontenttype": "application/json",
        "data": {"zaaktype": "https://ztc/1", "vertrouwelijkheidaanduiding": "openbaar"},
        **changes,
    }


async def send(api: Api, event: Any, **options: Any) -> Answer:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return await api.post("/cloudevents", body=body, headers={"Content-Type": STRUCTURED}, **options)


@asynccontextmanager
async def subscribed(stage: Stage, api: Api, *filters: dict[str, Any]) -> AsyncIterator[Abonnement]:
    """An abonnement that gets events by these filters, and nothing else."""
    naam = a_naam()
    assert (await api.post("/kanaal", {"naam": naam})).status == 201
    url = (await api.post("/abonnement", abonnement_of(naam))).json["url"]
    link = Link(stage.settings.amqp_url, name="test")

    async def connected(_: object) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(link.run(connected))
    options = DeliveryOptions.model_validate({"cloudevents": {"filters": list(filters)}})
    try:
        yield await change_abonnement(
            stage.registry, RouterClient(link), UUID(url[-36:]), {"options": options}
        )
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert (await api.delete(url)).status == 204


async def test_without_the_setting_there_is_no_such_address(stage: Stage) -> None:
    async with stage.gateway(cloudevents=False) as api:
        assert (await send(api, an_event())).status == 404


async def test_the_answer_is_the_event_as_it_came(events: Api) -> None:
    body = b'{ "specversion":"1.0","id":"%s","source":"/zaken","type":"nl.a","x":1,"data":{"bedrag": 1.10} }'
    body %= uuid4().hex.encode()
    answer = await send(events, body)
    assert answer.status == 201
    assert answer.body == body
    assert answer.headers["Content-Type"] == STRUCTURED
    assert answer.headers["nrc-matched"] == "0"
    again = await send(events, body)
    assert (again.status, again.body, again.headers[ID]) == (200, body, answer.headers[ID])


async def test_the_sdk_s_own_requests(events: Api) -> None:
    event = CloudEvent(
        attributes={"type": "nl.a", "source": SOURCE, "subject": "€ 100%", "comexample": "x"},
        data={"bedrag": 1},
    )
    for sent in (to_structured(event, JSONFormat()), to_binary(event, JSONFormat())):
        headers = {name.title(): value for name, value in sent.headers.items()}
        headers.setdefault("Content-Type", "application/json")
        answer = await events.post("/cloudevents", body=sent.body, headers=headers)
        assert answer.status in (200, 201), answer.body  # the second is the same event
        assert answer.json["subject"] == "€ 100%"
        assert answer.json["comexample"] == "x"
        assert answer.json["data"] == {"bedrag": 1}
    assert answer.status == 200


@pytest.mark.parametrize(
    ("headers", "body", "outcome"),
    [
        ({"Content-Type": "application/json"}, b"{}", (415, "unsupported_media_type")),
        (
            {"Content-Type": "application/cloudevents+xml", "ce-id": "1"},
            b"<x/>",
            (415, "unsupported_media_type"),
        ),
        ({"Content-Type": STRUCTURED}, b"{", (400, "parse_error")),
        ({"Content-Type": STRUCTURED}, b'{"id": "1"}', (400, "invalid")),
        ({"Content-Type": "application/json", "ce-id": "1"}, b"{}", (400, "invalid")),
        ({"Content-Type": BATCH}, b"[{}]", (400, "invalid")),
    ],
)
async def test_what_is_refused(
    events: Api, headers: dict[str, str], body: bytes, outcome: tuple[int, str]
) -> None:
    answer = await events.post("/cloudevents", body=body, headers=headers)
    assert answer.outcome == outcome


async def test_faults_and_rights(events: Api) -> None:
    answer = await send(events, an_event(source="een bron", Naam="x"))
    assert answer.params == {("source", "invalid"), ("Naam", "invalid")}
    assert (await send(events.of("afnemer"), an_event())).outcome == (403, "permission_denied")
    assert (await send(events, an_event(), auth=None)).status == 403
    large = await send(events, an_event(data="x" * 2**20))
    assert large.status == 413


async def test_who_asks_may_send(events: Api) -> None:
    asked = {"WebHook-Request-Origin": "zaken.example.nl", "WebHook-Request-Rate": "120"}
    answer = await events("OPTIONS", "/cloudevents", headers=asked, auth=None)
    assert answer.status == 200
    assert (answer.headers["WebHook-Allowed-Origin"], answer.headers["WebHook-Allowed-Rate"]) == ("*", "*")
    assert "WebHook-Allowed-Origin" not in (await events("OPTIONS", "/cloudevents")).headers


async def test_a_batch_is_accepted_or_refused_as_a_whole(events: Api) -> None:
    first, second = an_event(), an_event()
    headers = {"Content-Type": BATCH}
    refused = await events.post("/cloudevents", [first, an_event(id="")], headers=headers)
    assert refused.params == {("1.id", "invalid")}
    answer = await events.post("/cloudevents", [first, second, first], headers=headers)
    assert answer.status == 200
    assert [(each["id"], each["status"]) for each in answer.json] == [
        (first["id"], "accepted"),
        (second["id"], "accepted"),
        (first["id"], "repeated"),
    ]
    assert answer.json[0]["notificatie"] == answer.json[2]["notificatie"]
    assert (await events.post("/cloudevents", [], headers=headers)).json == []
    assert (await send(events, second)).status == 200


async def test_an_event_goes_to_those_whose_filters_match(stage: Stage, events: Api) -> None:
    async with (
        subscribed(
            stage, events, {"typeSubstring": "zaken.zaak-", "filters": {"zaaktype": "https://ztc/1"}}
        ) as one,
        subscribed(stage, events, {"typeSubstring": "geopend"}, {"typeSubstring": "x"}) as other,
        subscribed(stage, events, {"typeSubstring": "zaken", "filters": {"zaaktype": "https://ztc/2"}}),
        subscribed(stage, events),
    ):
        await eventually(lambda: matches(events, 2))
        answer = await send(events, an_event(kanaal="zaken"))
        assert answer.headers["nrc-matched"] == "2"
        # What the data lacks is left out of account, as of a notificatie.
        assert (await send(events, an_event(data=None))).headers["nrc-matched"] == "3"
        assert (await send(events, an_event(type="nl.taken.taak"))).headers["nrc-matched"] == "0"
        async with ledger_of(stage.settings) as opened:
            id_ = UUID(answer.headers[ID])
            rows = (await opened.deliveries([id_]))[id_]
            assert {row.key.abonnement for row in rows} == {one.uuid, other.uuid}
            found = await opened.search(Search(text="7b9a4d7c", kanaal=EVENTS), limit=100)
            assert id_ in {each.id for each in found}
            assert found[-1].resource == "nl.overheid.zaken.zaak-geopend"
            versions = await stage.registry.kanalen_versions(one.uuid)
            assert len(versions) == 2
            assert versions[1].kanalen == one.routed
            assert versions[1].change == one.kanalen_change


async def matches(api: Api, count: int) -> bool:
    return (await send(api, an_event())).headers["nrc-matched"] == str(count)


async def test_a_repeat_is_known_to_other_gateways_and_after_a_restart(own: Stage) -> None:
    event = an_event()
    async with (
        own.gateway(cloudevents=True) as first,
        own.gateway(cloudevents=True) as second,
        subscribed(own, first, {"typeSubstring": "zaak"}) as abonnement,
    ):
        await eventually(lambda: matches(first, 1))
        answers = await asyncio.gather(*(send(first, event) for _ in range(10)))
        assert sorted(answer.status for answer in answers) == [200] * 9 + [201]
        (id_,) = {answer.headers[ID] for answer in answers}
        # Nothing is delivered yet: it may be one that the first gateway is about to refuse.
        again = await send(second, event)
        assert (again.status, again.headers[ID]) == (200, id_)
        assert (await send(second, {**event, "source": "/elders"})).status == 201
        async with own.gateway(cloudevents=True) as third:  # as after a restart
            again = await send(third, event)
            assert (again.status, again.headers[ID]) == (200, id_)
        async with own.gateway(cloudevents=True, cloudevents_window=0.0) as forgetful:
            assert (await send(forgetful, event)).status == 201
        async with ledger_of(own.settings) as opened:
            backlog = (await opened.backlogs(abonnement.uuid))[abonnement.uuid]
            assert backlog.count == 4  # that of `matches`, the event, that of elsewhere, the forgotten one


async def test_a_repeat_is_known_to_a_gateway_that_has_just_started(
    own: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first events come before its ledger is open."""
    event, real = an_event(), ReopenedLedger.write
    async with own.gateway(cloudevents=True) as first, subscribed(own, first, {"typeSubstring": "zaak"}):
        await eventually(lambda: matches(first, 1))
        accepted = await send(first, event)

        async def late(self: ReopenedLedger, events: Sequence[LedgerEvent]) -> None:
            await asyncio.sleep(0.5)
            await real(self, events)

        monkeypatch.setattr(ReopenedLedger, "write", late)
        async with own.gateway(cloudevents=True) as second:
            again = await send(second, event)
            assert (again.status, again.headers[ID]) == (200, accepted.headers[ID])


async def test_what_was_refused_is_accepted_the_next_time(
    own: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ gave no confirm, and the ledger has the entry, but said so too late."""
    event, real = an_event(), accepting.Accepting.accept

    async with (
        own.gateway(cloudevents=True) as api,
        own.gateway(cloudevents=True) as other,
        subscribed(own, api, {"typeSubstring": "zaak"}),
    ):
        await eventually(lambda: matches(api, 1))
        await eventually(lambda: matches(other, 1))
        monkeypatch.setattr(accepting.Accepting, "accept", refuse)
        assert (await send(api, event)).status == 503
        monkeypatch.setattr(accepting.Accepting, "accept", real)
        accepted = await send(other, event)
        assert accepted.status == 201
        again = await send(api, event)
        assert (again.status, again.headers[ID]) == (200, accepted.headers[ID])
        async with ledger_of(own.settings) as opened:
            assert await opened.outcomes(UUID(accepted.headers[ID])) == {State.PENDING: 1}


async def test_what_was_refused_for_some_is_accepted_the_next_time(
    own: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `consolidate` an abonnement gets also what is refused; the others get it from the next time."""
    event, real = an_event(), accepting.Accepting.accept

    async with (
        own.gateway(cloudevents=True) as api,
        subscribed(own, api, {"typeSubstring": "zaak"}) as plain,
        subscribed(own, api, {"typeSubstring": "zaak"}) as one,
    ):
        options = DeliveryOptions.model_validate({**_as_sent(one), "consolidate": 60})
        await own.registry.change_abonnement(one.uuid, lambda latest: replace(latest, options=options))
        async with own.gateway(cloudevents=True) as first, own.gateway(cloudevents=True) as other:
            monkeypatch.setattr(accepting.Accepting, "accept", refuse)
            assert (await send(first, event)).status == 503
            monkeypatch.setattr(accepting.Accepting, "accept", real)
            async with ledger_of(own.settings) as opened:
                await eventually(lambda: _removed(opened, plain))
            accepted = await send(other, event)
            assert accepted.status == 201
            async with ledger_of(own.settings) as opened:
                assert await opened.outcomes(UUID(accepted.headers[ID])) == {State.PENDING: 2}


def _as_sent(abonnement: Abonnement) -> dict[str, Any]:
    assert abonnement.options is not None
    return abonnement.options.model_dump(mode="json", by_alias=True, exclude_none=True)


async def _removed(opened: Ledger, abonnement: Abonnement) -> bool:
    return bool(
        await opened.search(Search(abonnement=abonnement.uuid, states=frozenset({State.REMOVED})), limit=1)
    )


async def test_a_ledger_that_cannot_be_read_refuses_nothing(
    events: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway import repeats

    async def away(*_: object) -> None:
        raise LedgerError("away")

    monkeypatch.setattr(repeats.Repeats, "_look", away)
    # Said again, even if this gateway said it a moment ago, of a look that took too long.
    monkeypatch.setattr(repeats.Occasional, "due", lambda _: 1)
    event = an_event()
    with structlog.testing.capture_logs() as lines:
        first = await send(events, event)
    assert first.status == 201
    assert any(line["event"].startswith("cannot see whether events are repeats") for line in lines)
    # This process knows what it accepted itself.
    assert (await send(events, event)).headers[ID] == first.headers[ID]


async def test_no_kanaal_can_have_that_name(events: Api) -> None:
    assert (await events.post("/kanaal", {"naam": EVENTS})).params == {("naam", "invalid")}
    assert (await events.post("/notificaties", message(EVENTS))).params == {("kanaal", "invalid")}
    refused = await events.post("/abonnement", abonnement_of(EVENTS))
    assert refused.params == {("kanalen.0.naam", "invalid")}
    assert EVENTS not in {each["naam"] for each in (await events.get("/kanaal")).json}
