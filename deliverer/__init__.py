"""From an abonnement's queue to its callback, and to wait queues or the undeliverable when that fails.

The path of one notificatie is `deliver` (prepare, check, send, classify, decide, settle), on one screen.
`decide` decides and does no I/O, `settle` is the only place that acknowledges, `consumers` keeps the
queues consumed, `client` speaks HTTP, `account` tells the ledger what became of each, and `acknowledging`
acknowledges what was delivered once the ledger knows. Declares nothing in RabbitMQ.
"""
