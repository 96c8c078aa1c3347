"""RabbitMQ killed a moment after an abonnement was made: what was accepted for it is still there."""

from __future__ import annotations

from pathlib import Path

import pytest

from router import resting
from router.names import abonnement_queue
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.conftest import running_router
from tests.integration.delivering import delivering


async def test_a_new_queue_keeps_what_it_has_through_a_kill(
    mortal_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting, "AFTER_NEWEST", 1.5)
    assert mortal_broker.private
    async with running_router(mortal_broker.url, tmp_path) as router, delivering(router) as setting:
        abonnement = await setting.subscribe()
        for _ in range(10):
            await setting.publish()

        await mortal_broker.private.kill()
        await mortal_broker.private.start()

        async def all_there() -> bool:
            connection = router.link.connection
            return connection is not None and await setting.depth(abonnement_queue(abonnement.uuid)) == 10

        await eventually(all_there, within=20)
