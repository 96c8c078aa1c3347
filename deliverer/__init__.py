"""Delivers messages from an abonnement's queue to its callback; retries go through wait queues.

    service.py   the process: what it opens, in which order, and how it stops
    parts.py     the parts of a running deliverer, for observers such as metrics
    consuming/   the queues that are consumed, their channels, and how many messages each may send at once
    attempting/  one message: prepare, check, send, decide, settle
    consolidating/  abonnementen that want the newest only of repeats about a resource
    pacing/      abonnementen that want at most so many requests a second, or at once
    ordering/    order per hoofdObject, where an abonnement asks for it: whose turn it is
    events/      CloudEvents: what a notificatie becomes, for who asks for these in its place
    http/        the request to a callback: connections, refused addresses, answers
    direct/      the same into a queue that its consumer reads in RabbitMQ
    holding/     callbacks that do not work: circuit breaker, hold, probes, slow start
    outcomes/    the outcome of each delivery, for the ledger and for operators

A message is acknowledged in attempting/settle.py only. Declares nothing in RabbitMQ.
"""
