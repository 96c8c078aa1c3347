"""The policy that keeps every other one off our queues, where RabbitMQ is ours: as rabbitmqctl's arguments.

RabbitMQ applies, of all policies that match a queue, the one with the highest priority. Ours says what our
queues say already. `docker-compose.yml` and docs/operations.md have the same command.
"""

from __future__ import annotations

SET_POLICY = (
    "set_policy", "--priority", "999", "--apply-to", "all",
    "nrc-shield", r"^nrc\.", '{"delivery-limit":100000}',
)  # fmt: skip
