"""An abonnement with a rate and a concurrency of its own, and two deliverers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import pytest

from deliverer.pacing.shares import NOTHING, share_of
from schemas.abonnement import Abonnement
from schemas.delivery_options import DeliveryOptions
from tests.callback_server import status, when
from tests.eventually import eventually
from tests.integration.deliverer.delivering import Delivering
from tests.stallable import stallable

pytestmark = pytest.mark.usefixtures("broker")


async def set_options(spine: Delivering, abonnement: Abonnement, **options: float) -> None:
    """Set them as the API does."""
    wanted = DeliveryOptions.model_validate(options) if options else None
    await spine.change(abonnement, options=wanted)
    await spine.router.client.announce()


async def test_all_deliverers_together_keep_to_a_concurrency_and_a_rate(spine: Delivering) -> None:
    paced, plain = await spine.subscribe("/paced"), await spine.subscribe("/plain")
    goes_on = asyncio.Event()
    spine.callback.script("/paced", when(goes_on, status(204)))
    spine.callback.script("/plain", status(204))
    await set_options(spine, paced, concurrency=1)
    witnesses = [await spine.subscribe("/none", filters={"zaaktype": "none"}) for _ in range(12)]
    for each in witnesses:
        await set_options(spine, each, concurrency=1)
    published = []
    # The callback answers late on purpose, and later on a busy machine: none gives it up.
    async with spine.deliverer(callback_timeout=60), spine.deliverer(callback_timeout=60):
        # One of the two consumes a queue once the other knows of it. When that holds for many, both do: some
        # belong to the one, some to the other.
        for each in [paced, *witnesses]:
            await eventually(partial(spine.consumers_are, each, 1), within=30)
        await eventually(lambda: spine.consumers_are(plain, 2), within=30)
        published += [await spine.publish() for _ in range(20)]
        await eventually(lambda: len(spine.ids_at("/plain")) == 20)  # nothing holds these up
        assert (spine.callback.under_way("/paced"), len(spine.ids_at("/paced"))) == (1, 1)

        # Two from now on, each by one deliverer: what waits in hand is sent back, and comes in again.
        await set_options(spine, paced, concurrency=2)
        await eventually(lambda: spine.callback.under_way("/paced") == 2, within=30)
        goes_on.set()
        await eventually(lambda: {*spine.ids_at("/paced")} == {*published}, within=30)
        assert spine.callback.most_at_once("/paced") == 2

        # Ten a second, from one callback that could do more.
        await set_options(spine, paced, rate=1.5)
        await eventually(lambda: spine.consumers_are(paced, 1), within=30)
        await set_options(spine, paced, rate=20)
        await eventually(lambda: spine.consumers_are(paced, 2), within=30)
        before = len(spine.ids_at("/paced"))
        published += [await spine.publish() for _ in range(30)]
        await eventually(lambda: len(spine.ids_at("/paced")) == before + 30, within=60)
        times = sorted(each.at for each in spine.callback.at("/paced")[before:])
        # Half of it, since the first may be noted late; without a rate they come within a tenth of that.
        assert times[-1] - times[0] >= (30 - 2) / 20 / 2
        await set_options(spine, paced)
        published += [await spine.publish() for _ in range(20)]
        await eventually(lambda: {*spine.ids_at("/paced")} == {*published}, within=30)
    # Nobody waited at the cost of an attempt, and nothing came twice.
    assert {each.header("nrc-attempt") for each in spine.callback.at("/paced")} == {"1"}
    assert sorted(spine.ids_at("/paced"), key=str) == sorted(published)


async def test_where_options_are_off_they_have_no_effect(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/")
    goes_on = asyncio.Event()
    spine.callback.script("/", when(goes_on, status(204)))
    await set_options(spine, abonnement, concurrency=1)
    async with spine.deliverer(delivery_options=False):
        for _ in range(3):
            await spine.publish()
        await eventually(lambda: spine.callback.under_way("/") == 3)
        goes_on.set()
        await eventually(lambda: len(spine.ids_at("/")) == 3)


async def test_who_is_cut_off_from_rabbitmq_alone_leaves_its_part_to_the_others(
    spine: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deliverer.consuming.consumers.CUT_OFF", 1.0)
    monkeypatch.setattr("deliverer.outcomes.account.BEAT", 0.5)
    abonnement = await spine.subscribe("/")
    options = DeliveryOptions.model_validate({"concurrency": 1})
    await spine.change(abonnement, options=options)
    both = ["deliverer one", "deliverer two"]
    # The first of these consumes its queue while both live.
    both.sort(key=lambda own: share_of(options, abonnement.uuid, own=own, living=both) == NOTHING)
    names = iter(each.removeprefix("deliverer ") for each in both)
    monkeypatch.setattr("deliverer.service.instance_name", lambda: next(names))
    (url,) = spine.router.settings.amqp_url
    async with AsyncExitStack() as opened, AsyncExitStack() as way:
        through, _ = await way.enter_async_context(stallable(url))
        await opened.enter_async_context(spine.deliverer(amqp_url=through))
        await opened.enter_async_context(spine.deliverer())
        await eventually(lambda: spine.consumers_are(abonnement, 1), within=30)
        await spine.publish()
        await eventually(lambda: len(spine.ids_at("/")) == 1, within=30)
        await way.aclose()  # the ledger is there for it, and RabbitMQ is not
        published = [await spine.publish() for _ in range(3)]
        await eventually(lambda: {*published} <= {*spine.ids_at("/")}, within=60)
