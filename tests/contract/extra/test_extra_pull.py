"""Pull: what is fetched, what is acknowledged, and what is never lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import yarl

from extra.pull import cursors
from ledger.ids import new_id
from ledger.values import Entry, Key, Outcome, State
from router import names
from router.queue_depth import depths
from runtime.amqp import Link
from schemas.application import Application, Scope
from tests.contract.api import a_naam, message
from tests.contract.conftest import Stage
from tests.contract.extra.conftest import Asking, extra_root
from tests.contract.publishing.test_api_homes import locked
from tests.eventually import eventually
from tests.integration.conftest import open_link
from tests.tokens import token


async def pulled(asking: Asking, *, of: str = "beide", **filters: str) -> UUID:
    """An abonnement that is fetched."""
    groups = [{"naam": asking.naam, "filters": filters}]
    answer = await asking.post("/abonnement", {"kanalen": groups}, of=of)
    assert answer.status == 201, answer.body
    assert answer.headers["Location"] == answer.json["url"]
    return UUID(answer.json["uuid"])


async def fetched(asking: Asking, abonnement: UUID, query: str = "", **options: Any) -> tuple[list[str], str]:
    """The ids that are handed out, and their cursor."""
    answer = await asking.get(f"/abonnement/{abonnement}/pull{query}", **options)
    assert answer.status == 200, answer.body
    return [each["id"] for each in answer.json["notificaties"]], answer.json["cursor"]


async def acknowledge(asking: Asking, abonnement: UUID, cursor: str) -> None:
    answer = await asking.post(f"/abonnement/{abonnement}/pull/ack", {"cursor": cursor})
    assert answer.status == 204, answer.body


async def state(asking: Asking, id_: UUID | str, abonnement: UUID, *, replay: int = 0) -> State | None:
    row = await asking.ledger.delivery(Key(UUID(str(id_)), abonnement, replay))
    return None if row is None else row.state


async def test_what_is_not_acknowledged_comes_again(asking: Asking) -> None:
    abonnement = await pulled(asking)
    ids = [str(await asking.publish(zaaktype="A")) for _ in range(3)]
    assert await fetched(asking, abonnement) == await fetched(asking, abonnement)
    first, cursor = await fetched(asking, abonnement, "?limit=2")
    assert first == ids[:2], "the oldest first"
    await acknowledge(asking, abonnement, cursor)
    assert (await fetched(asking, abonnement))[0] == ids[2:]
    await acknowledge(asking, abonnement, cursor)
    assert (await fetched(asking, abonnement))[0] == ids[2:], "twice changes nothing"
    assert await state(asking, ids[0], abonnement) is State.DELIVERED
    told = (await asking.get(f"/abonnement/{abonnement}/uitleg/{ids[0]}")).json["uitleg"][0]
    assert told["text"].startswith("Opgehaald, en bevestigd op ")
    waits = (await asking.get(f"/abonnement/{abonnement}/uitleg/{ids[2]}")).json["uitleg"][0]
    assert waits["text"].startswith("Nog niet opgehaald: klaar sinds ")
    status = (await asking.get(f"/abonnement/{abonnement}/status")).json
    assert (status["waiting"], status["lastDelivered"] is None) == (1, False)


async def test_it_is_the_notificatie_as_it_came(asking: Asking) -> None:
    abonnement = await pulled(asking)
    sent = message(asking.naam, extra={"getal": 1.10, "tekst": "é\n"}, kenmerken={"zaaktype": "A"})
    body = json.dumps(sent, indent=2).encode()
    published = await asking.api.post("/notificaties", body=body)
    id_ = published.headers["nrc-notificatie-id"]
    await eventually(lambda: asking.ledger.notificatie(UUID(id_)))
    answer = await asking.get(f"/abonnement/{abonnement}/pull")
    assert answer.json["notificaties"][0]["notificatie"] == sent
    assert body in answer.body, "byte for byte"


async def test_a_cursor_acknowledges_nothing_that_did_not_come_with_it(asking: Asking) -> None:
    abonnement = await pulled(asking)
    later = await asking.publish()
    ids, cursor = await fetched(asking, abonnement)
    assert ids == [str(later)]
    # Accepted earlier by another gateway, whose commit comes now: an earlier id, and not handed out yet.
    early = new_id(at=later.int >> 80 and ((later.int >> 80) - 5000) / 1000)
    await asking.ledger.write([entry(asking, early, abonnement)])
    await acknowledge(asking, abonnement, cursor)
    assert (await fetched(asking, abonnement))[0] == [str(early)]
    assert await state(asking, later, abonnement) is State.DELIVERED


def entry(asking: Asking, id_: UUID, *matched: UUID) -> Entry:
    zaak = "https://zaken.example.nl/1"
    return Entry(
        id=id_, received=id_.int >> 80, client="beide", kanaal=asking.naam, resource="zaak", actie="create",
        hoofd_object=zaak, resource_url=zaak, kenmerken={}, body=json.dumps(message(asking.naam)).encode(),
        catalogue=10**9, matched=matched,
    )  # fmt: skip


async def test_a_cursor_of_what_is_not_one_s_own_acknowledges_nothing(asking: Asking) -> None:
    mine, theirs = await pulled(asking), await pulled(asking, of="ander")
    id_ = await asking.publish()
    _, cursor = await fetched(asking, theirs, of="ander")
    await acknowledge(asking, mine, cursor)  # the same notificatie, of another abonnement
    assert await state(asking, id_, theirs) is State.PENDING
    made_up = cursors.cursor_of([(uuid4(), 0), (id_, 99)])
    await acknowledge(asking, mine, made_up)
    assert await asking.ledger.delivery(Key(id_, mine, 99)) is None, "no row is made"
    for wrong in ("", "x", "é", made_up[:-4], "AQ", "a" * 20_000):
        answer = await asking.post(f"/abonnement/{mine}/pull/ack", {"cursor": wrong})
        assert answer.status == 400, wrong
        assert {name for name, _ in answer.params} == {"cursor"}
    assert (await asking.post(f"/abonnement/{mine}/pull/ack", {})).params == {("cursor", "required")}


async def test_what_was_removed_stays_removed(asking: Asking) -> None:
    abonnement = await pulled(asking)
    id_ = await asking.publish()
    _, cursor = await fetched(asking, abonnement)
    await asking.ledger.write([Outcome(Key(id_, abonnement), State.REMOVED, 0, 0, at=1)])
    await acknowledge(asking, abonnement, cursor)
    assert await state(asking, id_, abonnement) is State.REMOVED
    assert await fetched(asking, abonnement) == ([], None)


async def test_whoever_waits_gets_what_comes(asking: Asking) -> None:
    abonnement = await pulled(asking)
    waiting = asyncio.create_task(fetched(asking, abonnement, "?wait=30"))
    await asyncio.sleep(0)
    id_ = await asking.publish()
    assert (await asyncio.wait_for(waiting, 25))[0] == [str(id_)]
    assert (await fetched(asking, abonnement, "?wait=30"))[0] == [str(id_)], "at once, what is there"


async def test_only_what_it_asks_for(asking: Asking) -> None:
    abonnement = await pulled(asking, zaaktype="A")
    wanted = await asking.publish(zaaktype="A")
    await asking.publish(zaaktype="B")
    assert (await fetched(asking, abonnement))[0] == [str(wanted)]


async def test_pages_are_bounded(asking: Asking) -> None:
    abonnement = await pulled(asking)
    for query in ("limit=0", "limit=101", "limit=x", "wait=31", "wait=-1", "wait=1.5"):
        name = query.partition("=")[0]
        answer = await asking.get(f"/abonnement/{abonnement}/pull?{query}")
        assert answer.params == {(name, "invalid")}
    assert (await asking.get(f"/abonnement/{abonnement}/pull?x=1")).params == {
        ("nonFieldErrors", "unknown-parameters")
    }


async def test_the_standard_s_api_does_not_have_it(asking: Asking) -> None:
    abonnement = await pulled(asking)
    assert (await asking.api.get(f"/abonnement/{abonnement}")).status == 404
    assert (await asking.api.delete(f"/abonnement/{abonnement}")).status == 404
    listed = (await asking.api.get("/abonnement")).body.decode()
    assert str(abonnement) not in listed
    own = {each["uuid"]: each for each in (await asking.get("/abonnement")).json}
    assert (own[str(abonnement)]["type"], own[str(abonnement)]["callbackUrl"]) == ("pull", None)


async def test_another_does_not_see_or_touch_it(asking: Asking) -> None:
    abonnement = await pulled(asking)
    await asking.publish()
    _, cursor = await fetched(asking, abonnement)
    path = f"{asking.root}/abonnement/{abonnement}"
    ander = asking.api.of("ander")
    assert (await ander.get(path)).outcome == (404, "not_found")
    assert (await ander.get(f"{path}/pull")).outcome == (404, "not_found")
    assert (await ander.get(f"{path}/pull/events", headers=SSE)).outcome == (404, "not_found")
    assert (await ander.post(f"{path}/pull/ack", {"cursor": cursor})).outcome == (404, "not_found")
    assert (await ander.delete(path)).outcome == (404, "not_found")
    assert len((await fetched(asking, abonnement))[0]) == 1


async def test_one_with_a_callback_is_not_fetched(asking: Asking) -> None:
    abonnement = await asking.subscribe()
    for method, path in (("GET", "/pull"), ("POST", "/pull/ack"), ("DELETE", "")):
        answer = await asking.api(method, f"{asking.root}/abonnement/{abonnement}{path}", {})
        assert answer.outcome == (404, "not_found")
    assert (await asking.get(f"/abonnement/{abonnement}")).json["type"] == "push"


async def test_a_test_message_can_be_fetched(asking: Asking) -> None:
    mine, other = await pulled(asking), await pulled(asking)
    tested = (await asking.post(f"/abonnement/{mine}/test")).json
    assert (tested["taken"], tested["status"]) == (True, None)
    (item,) = (await asking.get(f"/abonnement/{mine}/pull")).json["notificaties"]
    assert item["notificatie"]["resourceUrl"] == "http://some.resource.nl/"
    assert (await fetched(asking, other))[0] == []
    told = (await asking.get(f"/abonnement/{mine}/uitleg/{item['id']}")).json
    assert told["state"] == "pending"
    await acknowledge(asking, mine, (await fetched(asking, mine))[1])
    assert await state(asking, item["id"], mine) is State.DELIVERED


async def test_one_that_is_fetched_asks_for_something_else(asking: Asking) -> None:
    mine = await pulled(asking, zaaktype="A")
    url = f"{asking.root}/abonnement/{mine}"
    before = await asking.publish(zaaktype="A")
    asked = {"kanalen": [{"naam": asking.naam, "filters": {"zaaktype": "B"}}]}
    for method in ("PUT", "PATCH"):
        changed = await asking.api(method, url, asked)
        assert (changed.status, changed.json["kanalen"]) == (200, asked["kanalen"])
    await asking.publish(zaaktype="A")
    after = await asking.publish(zaaktype="B")
    assert (await fetched(asking, mine))[0] == [str(before), str(after)], "what was ready stays so"
    assert (await asking.api("PUT", url, {})).params == {("kanalen", "required")}
    assert (await asking.api.of("ander")("PUT", url, asked)).outcome == (404, "not_found")
    # The standard's API does not have it, and says to its owner where it is.
    standard = f"/abonnement/{mine}"
    for method, of, there in (("DELETE", "beide", True), ("GET", "beide", True), ("GET", "ander", False)):
        refused = await asking.api.of(of)(method, standard)
        assert refused.outcome == (404, "not_found")
        assert (f"/api/extra/v1/abonnement/{mine}" in refused.json["detail"]) is there
    push = await asking.subscribe()
    other = await asking.api("DELETE", f"{asking.root}/abonnement/{push}")
    assert other.outcome == (404, "not_found")
    assert f"/api/v1/abonnement/{push}" in other.json["detail"]


async def test_what_is_wrong_with_a_new_one_is_told(asking: Asking) -> None:
    assert (await asking.post("/abonnement", {})).params == {("kanalen", "required")}
    unknown = await asking.post("/abonnement", {"kanalen": [{"naam": "bestaat-niet"}]})
    assert unknown.params == {("naam", "kanaal_naam")}
    filters = [{"naam": asking.naam, "filters": {"onbekend": "x"}}]
    wrong = await asking.post("/abonnement", {"kanalen": filters})
    assert wrong.params == {("filters", "inconsistent-abonnement-filters")}
    nothing = await asking.post("/abonnement", {"kanalen": []})
    assert nothing.params == {("kanalen", "invalid")}, "it would never get anything"
    groups = [{"naam": asking.naam}]
    push = {"kanalen": groups, "callbackUrl": "https://example.nl/", "auth": "Token x"}
    refused = await asking.post("/abonnement", push)
    assert refused.params == {("callbackUrl", "unknown-field"), ("auth", "unknown-field")}
    assert "POST /api/v1/abonnement" in refused.json["invalidParams"][0]["reason"]
    misspelt = await asking.post("/abonnement", {"kanalen": [{**groups[0], "filter": {}}]})
    assert misspelt.params == {("kanalen.0.filter", "unknown-field")}, "it would get everything"


async def test_it_is_removed(asking: Asking) -> None:
    abonnement = await pulled(asking)
    assert (await asking.api(("DELETE"), f"{asking.root}/abonnement/{abonnement}")).status == 204
    assert (await asking.get(f"/abonnement/{abonnement}/pull")).status == 404
    id_ = await asking.publish()
    assert await state(asking, id_, abonnement) is None


@pytest.fixture
async def link(stage: Stage) -> AsyncIterator[Link]:
    async with open_link(stage.settings.amqp_url[0]) as link:
        yield link


async def test_rabbitmq_has_no_queue_for_it(asking: Asking, link: Link) -> None:
    push, pull = await asking.subscribe(), await pulled(asking)
    await asking.publish()
    queues = {uuid: names.abonnement_queue(uuid) for uuid in (push, pull)}
    assert link.connection is not None
    found = await depths(link.connection, queues.values())
    depth = found[queues[push]]
    assert depth is not None
    assert depth.messages == 1
    assert found[queues[pull]] is None


# Two homes


async def test_rabbitmq_has_it_while_the_ledger_takes_nothing(
    stage: Stage, asking: Asking, link: Link
) -> None:
    mine = await pulled(asking, zaaktype="A")
    before = await depth_of(link)
    with locked(stage):
        for zaaktype in ("A", "B"):
            sent = message(asking.naam, kenmerken={"zaaktype": zaaktype})
            answer = await asking.api.post("/notificaties", sent)
            assert answer.status == 201
    assert await depth_of(link) == before + 1, "only what is for one that is fetched"
    await eventually(lambda: fetched_some(asking, mine))
    async with link.connection.channel() as channel:  # type: ignore[union-attr]
        queue = await channel.get_queue(names.UNDELIVERABLE, ensure=False)
        taken = await queue.get(no_ack=True)
    assert taken.headers["nrc-abonnement"] == str(mine)
    assert taken.message_id == (await fetched_some(asking, mine))[0]


async def fetched_some(asking: Asking, abonnement: UUID) -> list[str]:
    return (await fetched(asking, abonnement))[0]


async def depth_of(link: Link) -> int:
    assert link.connection is not None
    depth = (await depths(link.connection, [names.UNDELIVERABLE]))[names.UNDELIVERABLE]
    assert depth is not None
    return depth.messages


# Server-sent events

SSE = {"Accept": "text/event-stream"}


class Events:
    """What comes over one connection."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    async def next(self) -> dict[str, str]:
        """The fields of the next event, without comments and what only says when to connect again."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(30):
            while line := (await self._content.readline()).decode():
                if line == "\n" and "data" in fields:
                    return fields
                name, _, value = line.rstrip("\n").partition(": ")
                if name in ("id", "event", "data"):
                    fields[name] = value
        raise AssertionError("the connection ended")


@asynccontextmanager
async def events(asking: Asking, abonnement: UUID, *, of: str = "beide") -> AsyncIterator[Events]:
    url = f"{asking.root}/abonnement/{abonnement}/pull/events"
    headers = {**SSE, "Authorization": token(of)}
    async with asking.api.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["API-version"] == "1.0.1"
        yield Events(response.content)


async def test_events_come_as_they_are_accepted_and_again_until_acknowledged(asking: Asking) -> None:
    abonnement = await pulled(asking)
    first = await asking.publish()
    async with events(asking, abonnement) as stream:
        got = await stream.next()
        data = json.loads(got["data"])
        assert (data["id"], got["event"], data["cursor"]) == (str(first), "notificatie", got["id"])
        assert data["notificatie"] == message(asking.naam, kenmerken={})
        second = await asking.publish()
        assert json.loads((await stream.next())["data"])["id"] == str(second)
    await acknowledge(asking, abonnement, got["id"])
    async with events(asking, abonnement) as stream:
        assert json.loads((await stream.next())["data"])["id"] == str(second)


async def test_a_client_that_takes_no_events_is_told(asking: Asking) -> None:
    abonnement = await pulled(asking)
    path = f"/abonnement/{abonnement}/pull/events"
    answer = await asking.get(path, headers={"Accept": "application/json"})
    assert answer.outcome == (406, "not_acceptable")


async def test_those_who_wait_end_with_their_gateway(stage: Stage) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": token("beide")}) as session:
        async with stage.gateway(extra_rate=10000) as api:
            naam = a_naam()
            assert (await api.post("/kanaal", {"naam": naam})).status == 201
            made = await api.post(f"{extra_root(api)}/abonnement", {"kanalen": [{"naam": naam}]})
            url = f"{made.json['url']}/pull"
            stream = await session.get(f"{url}/events", headers=SSE)
            assert (await stream.content.readline()).startswith(b"retry: ")
            waiting = asyncio.create_task(session.get(f"{url}?wait=30"))
            for _ in range(3):  # answered after what came before
                await api.get(f"{extra_root(api)}/abonnement")
        # The gateway has stopped, within its time.
        answer = await asyncio.wait_for(waiting, 5)
        assert await answer.json() == {"notificaties": [], "cursor": None}
        assert await asyncio.wait_for(stream.content.read(), 5) == b"\n"


async def test_one_application_does_not_take_every_place_to_wait(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extra.pull.waiting.MOST_OF_CLIENT", 1)
    # Of the others a connection of another test may not have ended yet.
    mine, theirs = await pulled(asking, of="ander"), await pulled(asking, of="afnemer")
    async with events(asking, mine, of="ander"):
        refused = await asking.get(f"/abonnement/{mine}/pull?wait=1", of="ander")
        assert refused.outcome == (429, "throttled")
        assert (await asking.get(f"/abonnement/{theirs}/pull", of="afnemer")).status == 200
    await eventually(lambda: _may_wait(asking, mine), within=30)


async def _may_wait(asking: Asking, abonnement: UUID) -> bool:
    return (await asking.get(f"/abonnement/{abonnement}/pull", of="ander")).status == 200


# What a hostile consumer tries, and what a broken one does


async def test_who_reads_no_events_is_cut_off(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extra.pull.waiting.MOST_OF_CLIENT", 1)
    monkeypatch.setattr("extra.pull.events.READ_WITHIN", 0.5)
    abonnement = await pulled(asking, of="ander")
    large = json.dumps(message(asking.naam, extra={"tekst": "x" * 400_000})).encode()
    ids = [new_id() for _ in range(60)]
    await asking.ledger.write([replace(entry(asking, id_, abonnement), body=large) for id_ in ids])
    address = yarl.URL(asking.root)
    path = f"{address.path}/abonnement/{abonnement}/pull/events"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token('ander')}\r\n\r\n"
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=1024)
    writer.write(head.encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert not await _may_wait(asking, abonnement)
    await eventually(lambda: _may_wait(asking, abonnement), within=30)
    writer.close()


@pytest.mark.parametrize("path", ["pull?wait=30", "pull/events"])
async def test_who_loses_its_rights_gets_nothing_more(stage: Stage, asking: Asking, path: str) -> None:
    name = f"weg-{uuid4()}"
    secret = "x" * 40
    registry = stage.registry
    await registry.add_application(Application(name, secret, "", frozenset({Scope.CONSUMEREN})))
    headers = {"Authorization": token(name, secret=secret), "Accept": "*/*"}
    made = await asking.api.post(
        f"{asking.root}/abonnement", {"kanalen": [{"naam": asking.naam}]}, auth=headers["Authorization"]
    )
    assert made.status == 201, made.body
    told = asyncio.create_task(_text(asking, f"{made.json['url']}/{path}", headers))
    for _ in range(3):  # answered after what came before
        await asking.get("/abonnement")
    await registry.change_application(name, lambda known: replace(known, scopes=frozenset()))
    await asking.subscribe()  # the gateway reads the registry for it
    await asking.publish()
    assert "hoofdObject" not in await asyncio.wait_for(told, 25)


async def _text(asking: Asking, url: str, headers: dict[str, str]) -> str:
    """All of the answer."""
    async with asking.api.session.get(url, headers=headers) as response:
        return await response.text()


async def test_what_waits_for_an_operator_does_not_stand_in_the_way(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extra.pull.handing_out.LOOKED_AT", 2)
    abonnement = await pulled(asking)
    unsure = [await asking.publish() for _ in range(3)]
    outcomes = [Outcome(Key(id_, abonnement), State.UNSURE, 0, 0, at=2**42) for id_ in unsure]
    await asking.ledger.write(outcomes)
    assert await state(asking, unsure[0], abonnement) is State.UNSURE
    ready = await asking.publish()
    assert (await fetched(asking, abonnement))[0] == [str(ready)]
    async with events(asking, abonnement) as stream:
        assert json.loads((await stream.next())["data"])["id"] == str(ready)
        other = await asking.publish()
        assert json.loads((await stream.next())["data"])["id"] == str(other), "and each of them once"
