"""What RabbitMQ lost or never had, and how that is known.

gaps.py              what was lost with a queue or an exchange, or at a time that an operator tells
lost.py              deliveries of which no outcome comes
judging.py           whether such a delivery is lost: E1 and E2; no I/O
unrouted.py          what a gateway accepted without RabbitMQ
registry_changes.py  what a gateway's older copy of the registry left out
"""
