"""The ledger: what was accepted, for which abonnementen, and what became of it.

A durable account outside RabbitMQ. Gateways and deliverers write it; `nrc ledger`, the keeper, gives back to
RabbitMQ what RabbitMQ lost; commands and pages read it.

    values.py         what is written and read, and which of two accounts of one delivery holds
    ledger.py         what a store guarantees: the protocol
    keeper_ledger.py  what a store guarantees to the keeper: lease, gaps, what is to be given back
    opening.py        which store the settings name
    sqlite/           the store in a SQLite file
    writer.py         group commits, in gateways and deliverers
    unwritten.py      what processes ended with that the ledger lacks
    reopening.py      a ledger that may be away when its process starts
    losses.py         tells the ledger what a queue or an exchange lost
    ids.py            the ids of notificaties
    keeper/           the keeper: what it gives back, and when
    operating/        what operators have done with deliveries: sent again, sent now, replayed, removed
    copies/           which ledger this is; copies of it, for backup and restore
    explaining/       what became of a notificatie, in words
"""
