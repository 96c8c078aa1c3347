"""From an abonnement's queue to its callback, and to wait queues or the undeliverable when that fails.

    service.py   the process: what it opens, in which order, and how it stops
    parts.py     the parts of a running one, for whoever observes it
    consuming/   the queues that are consumed, their channels, and how many messages each may send at once
    attempting/  one message: prepare, check, send, decide, settle
    http/        the request to a callback: connections, addresses that are refused, answers
    holding/     callbacks that do not work: the circuit breaker, the hold, probes, the slow start afterwards
    outcomes/    what became of each delivery, for the ledger and for operators

A message is acknowledged in attempting/settle.py only. Declares nothing in RabbitMQ.
"""
