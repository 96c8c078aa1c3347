"""Order per hoofdObject with few places in hand: what waits for one that is elsewhere holds up no others."""

from __future__ import annotations

import asyncio

import pytest

from ledger.ledger import Ledger
from ledger.values import Key, State
from schemas.delivery_options import DeliveryOptions
from tests.eventually import eventually
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.options.test_order_per_object import Callback, accept

pytestmark = pytest.mark.usefixtures("broker")


async def test_many_behind_one_that_is_elsewhere_hold_up_no_others(
    spine: Delivering, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head was accepted by the ledger alone, as bulk is: RabbitMQ does not have it yet."""
    options = DeliveryOptions.model_validate({"order": {}, "concurrency": 1})
    abonnement = await spine.change(await spine.subscribe("/a"), options=options)
    callback = Callback(spine)
    with monkeypatch.context() as patched:
        patched.setattr(spine.publisher, "publish", lambda _: asyncio.sleep(0))
        head = await accept(spine, ledger, abonnement, "one")
    behind = [await accept(spine, ledger, abonnement, "one") for _ in range(80)]
    other = await accept(spine, ledger, abonnement, "other")
    async with spine.deliverer():
        await eventually(lambda: other in callback.delivered, within=40)
        assert callback.delivered == {other}
        for id_ in behind:
            row = await ledger.delivery(Key(id_, abonnement.uuid))
            assert row is not None
            assert row.state is State.RETURNING
    assert head not in callback.delivered
