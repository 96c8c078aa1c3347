"""Every scenario, in the order in which they run; a module for each kind of fault."""

from __future__ import annotations

from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import (
    callbacks,
    changes,
    clocks,
    files,
    frozen,
    hosts,
    neighbours,
    options,
    processes,
)
from tests.chaos.scenarios.ledger import database, keepers, postgresql
from tests.chaos.scenarios.rabbitmq import broker, direct, network, nodes, policies, topology

SCENARIOS: tuple[Scenario, ...] = (
    *processes.SCENARIOS,
    *broker.SCENARIOS,
    *topology.SCENARIOS,
    *callbacks.SCENARIOS,
    *policies.SCENARIOS,
    *changes.SCENARIOS,
    *files.SCENARIOS,
    *database.SCENARIOS,
    *keepers.SCENARIOS,
    *postgresql.SCENARIOS,
    *frozen.SCENARIOS,
    *neighbours.SCENARIOS,
    *network.SCENARIOS,
    *nodes.SCENARIOS,
    *hosts.SCENARIOS,
    *clocks.SCENARIOS,
    *options.SCENARIOS,
    *direct.SCENARIOS,
)
