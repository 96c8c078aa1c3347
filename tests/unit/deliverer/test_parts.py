"""What a deliverer tells of its connections, in its metrics and as warnings of its health."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deliverer.parts import warnings_of
from router.publishing import Publisher
from telemetry.metrics.deliverer import connected_of


def not_there() -> Publisher:
    """A publisher that was not started."""
    return Publisher("amqp://127.0.0.1:1/", name="deliverer direct", mandatory=True)


@pytest.mark.parametrize("reason", ["", "database is locked"])
def test_the_connection_for_queues_of_consumers_is_a_warning(reason: str) -> None:
    writer: Any = SimpleNamespace(why_not=reason)
    none: Any = SimpleNamespace(why_not="")
    of_ledger = [f"ledger: {reason}"] if reason else []
    assert warnings_of(writer, None, none) == of_ledger
    assert warnings_of(writer, not_there(), none) == [
        *of_ledger,
        "queues of consumers: not connected to RabbitMQ yet",
    ]
    there: Any = SimpleNamespace(why_not="")
    assert warnings_of(writer, there, none) == of_ledger
    fault: Any = SimpleNamespace(why_not="a message was requeued")
    assert warnings_of(writer, None, fault) == [*of_ledger, "delivering: a message was requeued"]


def test_the_metric_has_that_connection_where_amqp_direct_is_on() -> None:
    link, ready = SimpleNamespace(connection=object()), SimpleNamespace(ready=True)
    others = {"deliverer": True, "deliverer publishing": True}

    def told(into_queues: object) -> dict[str, bool]:
        parts: Any = SimpleNamespace(link=link, publisher=ready, into_queues=into_queues)
        return connected_of(parts)

    assert told(None) == others
    assert told(ready) == others | {"deliverer direct publishing": True}
    assert told(not_there()) == others | {"deliverer direct publishing": False}
