"""An abonnement that wants the newest only of repeats about a resource, from a real queue and ledger."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import orjson
import pytest

from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.values import Entry, Key, State
from router.routing import route
from schemas.abonnement import Abonnement
from schemas.delivery_options import DeliveryOptions
from schemas.notificatie import Notificatie
from tests.callback_server import status
from tests.command import nrc_process
from tests.eventually import eventually
from tests.integration.deliverer.delivering import Delivering

pytestmark = pytest.mark.usefixtures("broker")

WINDOW = 3


async def accept(
    spine: Delivering, ledger: Ledger, abonnementen: list[Abonnement], *, actie: str, url: str
) -> UUID:
    """Accept a notificatie as a gateway does, for these; its id."""
    id_, at = new_id(), time.time_ns() // 1_000_000
    data = {"kanaal": spine.kanaal.naam, "hoofdObject": url, "resource": "zaak", "resourceUrl": url}
    body = orjson.dumps({**data, "actie": actie, "aanmaakdatum": "2026-01-31T12:00:00Z", "kenmerken": {}})
    uuids = tuple(each.uuid for each in abonnementen)
    entry = Entry(id_, at, "bron", spine.kanaal.naam, "zaak", actie, url, url, {}, body, 0, uuids)
    await ledger.write([entry])
    await asyncio.sleep(0.002)  # ids of one millisecond have no order
    notificatie = Notificatie(spine.kanaal.naam, "zaak", actie, {}, body)
    await spine.publisher.publish(route(spine.kanaal, notificatie, message_id=str(id_), accepted_at=None))
    return id_


async def test_of_repeats_the_newest_is_sent_and_the_others_say_which(
    spine: Delivering, ledger: Ledger
) -> None:
    own, plain = await spine.subscribe("/own"), await spine.subscribe("/plain")
    options = DeliveryOptions.model_validate({"consolidate": WINDOW})
    await spine.change(own, options=options)
    spine.callback.script("/own", status(503), status(204))
    both = [own, plain]
    one, other = "https://zaken.example.nl/zaken/1", "https://elders.example.nl/zaken/1"

    # What waits together, as after a hold: of each resource, with each actie, the newest.
    waited = [await accept(spine, ledger, both, actie="update", url=one) for _ in range(4)]
    created = await accept(spine, ledger, both, actie="create", url=one)
    elsewhere = await accept(spine, ledger, both, actie="update", url=other)
    destroyed = await accept(spine, ledger, both, actie="destroy", url=one)
    sent = [waited[-1], created, elsewhere, destroyed]

    async def states_are(ids: list[UUID], state: State) -> bool:
        rows = [await ledger.delivery(Key(id_, own.uuid)) for id_ in ids]
        return {None if row is None else row.state for row in rows} == {state}

    async with spine.deliverer(retry_schedule="1,1"):
        await eventually(lambda: states_are(sent, State.DELIVERED), within=30)
        await eventually(lambda: states_are(waited[:-1], State.NOT_WANTED), within=30)
        for id_ in waited[:-1]:
            (note,) = await ledger.attempts(Key(id_, own.uuid))
            assert (note.kind, note.detail) == ("consolidated", str(waited[-1]))

        # Within the window after a delivery they wait, and the last of them comes at its end.
        began = time.time()
        later = [await accept(spine, ledger, both, actie="create", url=other) for _ in range(3)]
        await eventually(lambda: states_are(later[-1:], State.DELIVERED), within=30)
        await eventually(lambda: len(spine.ids_at("/plain")) == 10, within=30)
        delivered = [id_ for id_ in later if await states_are([id_], State.DELIVERED)]
        ended = [id_ for id_ in later if await states_are([id_], State.NOT_WANTED)]
        assert (len(delivered) + len(ended), delivered[-1]) == (3, later[-1])
        assert len(delivered) <= 2  # the first was sent at once, unless the others were there before it
        if len(delivered) == 2:
            assert time.time() - began >= WINDOW

    folder = spine.router.settings.state_dir
    env = {"NRC_AMQP_URL": spine.router.settings.amqp_url[0], "NRC_STATE_DIR": str(folder)}
    told = await nrc_process(folder, "explain", str(waited[0]), "--abonnement", str(own.uuid), env=env)
    assert f"de nieuwere notificatie {waited[-1]} over dezelfde resource" in told.out, told.err
    assert {*spine.ids_at("/own")} == {str(id_) for id_ in [*sent, *delivered]}
    assert len(spine.ids_at("/plain")) == 10
    backlog = await ledger.backlogs(own.uuid)
    assert sum(each.count for each in backlog.values()) == 0
    assert await ledger.undeliverable_count() == 0
