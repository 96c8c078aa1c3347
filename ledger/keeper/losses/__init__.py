"""Finds the deliveries that RabbitMQ lost or never had.

gaps.py              lost with a queue or an exchange, or in a time that an operator names
lost.py              deliveries without an outcome: looks at their queues
judging.py           whether such a delivery is lost, by E1 and E2; no I/O
unrouted.py          accepted by a gateway without RabbitMQ
registry_changes.py  missed by a gateway that matched with an older copy of the registry
"""
