"""The policy that keeps all other policies off our queues, as arguments of rabbitmqctl.

Of all policies that match a queue RabbitMQ applies the one with the highest priority. Ours sets what the
arguments of our queues set already, and that in a cluster leaders are spread over the nodes.
`docker-compose.yml` and docs/operations.md have the same command.
"""

from __future__ import annotations

SET_POLICY = (
    "set_policy", "--priority", "999", "--apply-to", "all",
    "nrc-shield", r"^nrc\.", '{"delivery-limit":100000,"queue-leader-locator":"balanced"}',
)  # fmt: skip
