"""Delivers messages from an abonnement's queue to its callback; retries go through wait queues.

    service.py   the process: what it opens, in which order, and how it stops
    parts.py     the parts of a running deliverer, for observers such as metrics
    consuming/   the queues that are consumed, their channels, and how many messages each may send at once
    attempting/  one message: prepare, check, send, decide, settle
    http/        the request to a callback: connections, refused addresses, answers
    holding/     callbacks that do not work: circuit breaker, hold, probes, slow start
    outcomes/    the outcome of each delivery, for the ledger and for operators

A message is acknowledged in attempting/settle.py only. Declares nothing in RabbitMQ.
"""
