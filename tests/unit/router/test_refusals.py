"""How often it is logged that RabbitMQ refuses a queue."""

from __future__ import annotations

from uuid import uuid4

from structlog.testing import capture_logs

from router.declaring.watching.refusals import Refusals
from schemas.errors import QueueRefused


def test_it_is_told_at_growing_pauses_and_when_it_is_over() -> None:
    now = 0.0
    refusals, uuid = Refusals(lambda: now), uuid4()
    told = []
    for second in range(0, 4 * 3600, 5):
        now = float(second)
        with capture_logs() as lines:
            refusals.refused(uuid, QueueRefused("why"))
        told += [(second, line["times"]) for line in lines]
    assert told[:4] == [(0, 1), (60, 13), (180, 37), (420, 85)]
    assert [second for second, _ in told[-2:]] == [7380, 10980]
    assert set(refusals.now) == {uuid}
    with capture_logs() as lines:
        refusals.stands(uuid)
        refusals.stands(uuid)
    assert [line["event"] for line in lines] == ["queue of an abonnement is usable again"]
    assert not refusals.now
    with capture_logs() as lines:
        refusals.refused(uuid, QueueRefused("why"))
        refusals.forget(uuid)
        refusals.stands(uuid)
    assert [line["event"] for line in lines] == ["queue of an abonnement is unusable"]
