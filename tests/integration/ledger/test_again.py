"""`nrc retry` and `nrc resend` on a real RabbitMQ, with a real ledger and a deliverer that reads it."""

from __future__ import annotations

import asyncio
from uuid import UUID

import orjson
import pytest
from aio_pika import Message

from ledger.ledger import Ledger
from ledger.values import DELIVERED_ALL_THE_SAME, Delivery, Key, State
from router import names
from schemas.abonnement import Abonnement
from schemas.abonnement import State as Condition
from tests.callback_server import status, when
from tests.command import Ran
from tests.eventually import eventually
from tests.integration.cli.test_cli_broker import nrc
from tests.integration.conftest import Running
from tests.integration.deliverer.delivering import Delivering, group
from tests.integration.deliverer.test_outcomes import accept

pytestmark = pytest.mark.usefixtures("broker")

LONG = "512"
"""A retry schedule that outlasts every test."""


async def row(ledger: Ledger, id_: str, abonnement: Abonnement, replay: int = 0) -> Delivery:
    found = await ledger.delivery(Key(UUID(id_), abonnement.uuid, replay))
    assert found is not None
    return found


async def is_(ledger: Ledger, id_: str, abonnement: Abonnement, state: State, replay: int = 0) -> bool:
    found = await ledger.delivery(Key(UUID(id_), abonnement.uuid, replay))
    return found is not None and found.state is state


async def audited(router: Running) -> list[str]:
    lines = (router.settings.state_dir / "operator.log").read_text().splitlines()
    return [orjson.loads(line)["event"] for line in lines]


async def test_a_retry_is_sent_now_and_the_copy_that_waits_never_comes(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(204))
    async with spine.deliverer(retry_schedule=LONG):
        id_ = await accept(spine, ledger, abonnement)
        await eventually(lambda: is_(ledger, id_, abonnement, State.RETRYING))
        ran = await nrc(spine.router, "retry", "now", id_, "--json")
        assert ran.code == 0, ran.err
        assert ran.json()["sent"] == [{"id": id_, "abonnement": str(abonnement.uuid), "replay": 0}]
        await eventually(lambda: is_(ledger, id_, abonnement, State.DELIVERED))
        found = await row(ledger, id_, abonnement)
        assert (found.round, found.attempts) == (1, 2)
        # A deliverer drops the first copy.
        await _end_of_its_wait(spine)
        await eventually(lambda: spine.depth_is(abonnement, 0))
    assert spine.ids_at("/a") == [id_, id_]
    assert await spine.depth(names.abonnement_queue(abonnement.uuid)) == 0, "it was settled, not given back"
    assert await audited(spine.router) == ["retry sent now"]


async def _end_of_its_wait(spine: Delivering) -> None:
    """The one message that waits comes out of its wait queue, as RabbitMQ lets it at the end of its time."""
    (waits,) = await spine.router.taken(names.wait_queue(512))
    async with spine.router.connection.channel() as channel:
        back = await channel.get_exchange(names.RETURN)
        copy = Message(
            waits.body,
            headers=waits.headers,
            message_id=waits.message_id,
            timestamp=waits.timestamp,
            content_type=waits.content_type,
            delivery_mode=waits.delivery_mode,
        )
        await back.publish(copy, waits.routing_key or "")


async def test_a_dropped_retry_is_not_delivered(spine: Delivering, ledger: Ledger) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(204))
    async with spine.deliverer(retry_schedule=LONG):
        id_ = await accept(spine, ledger, abonnement)
        await eventually(lambda: is_(ledger, id_, abonnement, State.RETRYING))
        asked = await nrc(spine.router, "retry", "drop", id_)
        assert asked.code == 2
        assert "--yes" in asked.err
        ran = await nrc(spine.router, "retry", "drop", id_, "--yes")
        assert (ran.code, ran.out) == (0, "1 dropped\n"), ran.err
        again = await nrc(spine.router, "retry", "drop", id_, "--yes")
        assert again.code == 1
        assert "it is removed" in again.err
        await _end_of_its_wait(spine)
        await eventually(lambda: spine.depth_is(abonnement, 0))
    assert spine.ids_at("/a") == [id_]
    assert await spine.depth(names.abonnement_queue(abonnement.uuid)) == 0, "it was settled, not given back"
    assert await is_(ledger, id_, abonnement, State.REMOVED)
    assert await audited(spine.router) == ["retry dropped"]


async def test_an_attempt_that_was_under_way_is_told_and_seen(spine: Delivering, ledger: Ledger) -> None:
    abonnement = await spine.subscribe("/a")
    answer = asyncio.Event()
    spine.callback.script("/a", status(500), when(answer, status(204)))
    async with spine.deliverer(retry_schedule="1,600"):
        id_ = await accept(spine, ledger, abonnement)
        await eventually(lambda: spine.ids_at("/a") == [id_, id_])
        ran = await nrc(spine.router, "retry", "drop", id_, "--yes")
        assert (ran.code, ran.out) == (0, "1 dropped\n"), ran.err
        assert "of 1 an attempt may be under way" in ran.err
        answer.set()
        await eventually(lambda: _taken(ledger, id_, abonnement))
    assert await is_(ledger, id_, abonnement, State.REMOVED)
    traced = await nrc(spine.router, "trace", id_)
    assert "status 204: toch afgeleverd" in traced.out
    assert "poging 2 was toen al begonnen" in " ".join(traced.out.split())


async def _taken(ledger: Ledger, id_: str, abonnement: Abonnement) -> bool:
    attempts = await ledger.attempts(Key(UUID(id_), abonnement.uuid))
    return attempts[-1].kind == DELIVERED_ALL_THE_SAME


async def test_every_retry_of_an_abonnement_is_sent_now(spine: Delivering, ledger: Ledger) -> None:
    mine, other = await spine.subscribe("/a"), await spine.subscribe("/b")
    spine.callback.script("/a", *[status(500)] * 3, status(204))
    spine.callback.script("/b", status(500))
    async with spine.deliverer(retry_schedule="600"):
        ids = [await accept(spine, ledger, mine, other) for _ in range(3)]
        for id_ in ids:
            await eventually(lambda id_=id_: is_(ledger, id_, mine, State.RETRYING))  # type: ignore[misc]
            await eventually(lambda id_=id_: is_(ledger, id_, other, State.RETRYING))  # type: ignore[misc]
        ran = await nrc(spine.router, "retry", "now", "--abonnement", str(mine.uuid)[:8], "--yes")
        assert (ran.code, ran.out) == (0, "3 sent now\n"), ran.err
        for id_ in ids:
            await eventually(lambda id_=id_: is_(ledger, id_, mine, State.DELIVERED))  # type: ignore[misc]
    assert len(spine.ids_at("/b")) == 3


async def test_what_was_delivered_is_sent_once_more_as_a_delivery_of_its_own(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer():
        id_ = await accept(spine, ledger, abonnement)
        await eventually(lambda: is_(ledger, id_, abonnement, State.DELIVERED))
        ran = await nrc(spine.router, "resend", id_, "--abonnement", str(abonnement.uuid), "--json")
        assert ran.code == 0, ran.err
        (sent,) = ran.json()["sent"]
        await eventually(lambda: is_(ledger, id_, abonnement, State.DELIVERED, sent["replay"]))
    assert spine.ids_at("/a") == [id_, id_]
    assert await audited(spine.router) == ["notificatie sent once more"]
    traced = await nrc(spine.router, "trace", id_)
    assert f"replay {sent['replay']}" in traced.out


async def test_it_goes_to_one_made_later_and_unmatched_only_when_asked(
    spine: Delivering, ledger: Ledger
) -> None:
    first = await spine.subscribe("/a")
    id_ = await accept(spine, ledger, first, zaaktype="1")
    later = await spine.subscribe("/later", filters={"zaaktype": "2"})
    async with spine.deliverer():
        await eventually(lambda: is_(ledger, id_, first, State.DELIVERED))
        asked = ["resend", id_, "--abonnement", str(later.uuid)]
        refused = await nrc(spine.router, *asked)
        assert refused.code == 1
        assert "--unmatched" in refused.err
        assert (await nrc(spine.router, *asked, "--unmatched")).code == 0
        await eventually(lambda: spine.ids_at("/later") == [id_])
        await spine.change(later, kanalen=(group(spine.kanaal.naam, zaaktype="1"),))
        assert (await nrc(spine.router, *asked)).code == 0
        await eventually(lambda: spine.ids_at("/later") == [id_, id_])


async def test_what_cannot_be_sent_is_told(spine: Delivering, ledger: Ledger) -> None:
    abonnement = await spine.subscribe("/a")
    await spine.set_state(abonnement, Condition.SUSPENDED)
    id_ = await accept(spine, ledger, abonnement)
    refused = [
        (("retry", "now", id_), "it is in the queue of its abonnement", 1),
        (("retry", "now", "01234567"), "the ledger does not have it", 1),
        (("retry", "now"), "which?", 2),
        (("resend", id_, "--abonnement", str(abonnement.uuid)), "still to be delivered", 1),
        (("resend", "01234567", "--abonnement", str(abonnement.uuid)), "has no notificatie", 1),
    ]
    for arguments, why, code in refused:
        ran: Ran = await nrc(spine.router, *arguments)
        assert (ran.code, why in ran.err) == (code, True), ran.err


async def test_undeliverable_rows_are_sent_again_and_removed(spine: Delivering, ledger: Ledger) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", *[status(500)] * 4, status(204))
    async with spine.deliverer(retry_schedule="1"):
        ids = [await accept(spine, ledger, abonnement) for _ in range(2)]
        for id_ in ids:
            await eventually(lambda id_=id_: is_(ledger, id_, abonnement, State.UNDELIVERABLE))  # type: ignore[misc]
        listed = (await nrc(spine.router, "undeliverable", "list", "--json")).json()
        assert [(each["id"], each["attempts"], len(each["failures"])) for each in listed] == [
            (id_, 2, 2) for id_ in sorted(ids)
        ]
        ran = await nrc(spine.router, "undeliverable", "resend", ids[0], "--json")
        assert ran.json()["resent"] == [{"id": ids[0], "abonnement": str(abonnement.uuid), "replay": 0}], (
            ran.err
        )
        await eventually(lambda: is_(ledger, ids[0], abonnement, State.DELIVERED))
        found = await row(ledger, ids[0], abonnement)
        assert (found.round, found.attempts) == (1, 1)
        gone = await nrc(spine.router, "undeliverable", "remove", ids[1], "--yes")
        assert gone.code == 0, gone.err
        assert await is_(ledger, ids[1], abonnement, State.REMOVED)
    assert spine.ids_at("/a").count(ids[0]) == 3
    assert await audited(spine.router) == ["notificatie sent again", "undeliverable notificatie removed"]
