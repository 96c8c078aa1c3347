"""The files that take longest: `make test` begins with these, so that none is left for the end.

Roughly in that order; those that use the processor (they start RabbitMQ or many processes) between those that
wait.
"""

from __future__ import annotations

LONGEST_FIRST = (
    "tests/chaos/test_short.py",
    "tests/integration/rabbitmq/test_private_broker.py",
    "tests/integration/cli/test_cli_undeliverable.py",
    "tests/fuzz/test_short.py",
    "tests/e2e/test_up.py",
    "tests/integration/deliverer/test_delivery.py",
    "tests/e2e/test_start_stop.py",
    "tests/e2e/test_watching.py",
    "tests/integration/deliverer/test_hold.py",
    "tests/integration/cli/test_cli_broker.py",
    "tests/e2e/test_on_postgresql.py",
    "tests/e2e/test_listen.py",
    "tests/contract/inbox/test_inbox_browser.py",
    "tests/e2e/guides/test_readme.py",
    "tests/e2e/test_rolling.py",
    "tests/integration/ledger/test_keeper.py",
    "tests/e2e/test_stop_in_bad_moments.py",
    "tests/integration/cli/test_cli_publish.py",
    "tests/integration/deliverer/test_delivery_workers.py",
    "tests/e2e/guides/test_notificeren.py",
    "tests/integration/ledger/test_without_rabbitmq.py",
    "tests/integration/test_new_queues.py",
    "tests/integration/console/test_browser.py",
    "tests/integration/deliverer/test_outcomes.py",
    "tests/e2e/test_compose.py",
    "tests/integration/test_traces.py",
    "tests/integration/ledger/test_gaps.py",
    "tests/chaos/faults/test_cluster.py",
    "tests/integration/test_router.py",
    "tests/integration/ledger/test_again.py",
    "tests/contract/publishing/test_api_homes.py",
    "tests/integration/ledger/test_dead_letters.py",
    "tests/contract/publishing/test_api_broker.py",
    "tests/integration/test_policies.py",
    "tests/contract/documents/test_schemathesis.py",
    "tests/e2e/guides/test_extra.py",
    "tests/contract/extra/test_extra_redeliver.py",
    "tests/integration/rabbitmq/test_confirms.py",
    "tests/integration/ledger/test_held_too_long.py",
    "tests/model/test_switches.py",
)
