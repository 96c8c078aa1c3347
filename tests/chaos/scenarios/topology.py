"""Things of ours that somebody deletes in RabbitMQ by hand."""

from __future__ import annotations

from tests.chaos.run import Scenario

SCENARIOS: tuple[Scenario, ...] = ()
