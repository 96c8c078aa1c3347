"""The ledger: what was accepted, for which abonnementen, and what became of it.

A durable account outside RabbitMQ. Gateways and deliverers write it; `nrc ledger`, the keeper, gives back to
RabbitMQ what RabbitMQ lost; commands and pages read it.

    values.py         the values that are written and read, and which of two outcomes of a delivery wins
    ledger.py         the protocol of a store: what it guarantees to every process
    keeper_ledger.py  the same for the keeper: lease, gaps, what is to be given back
    opening.py        makes the store that the settings name
    sqlite/           the store in a SQLite file
    postgresql/       the store in a PostgreSQL database
    tables/           what is alike in the tables of both
    writer.py         group commits, in gateways and deliverers
    unwritten.py      files that note what a process has in memory and the ledger lacks
    reopening.py      opens the ledger when it is first needed, and again after failures
    pulled.py         what has a notificatie for a consumer that fetches, while the ledger does not take it
    losses.py         opens and closes gaps, for the router process
    ids.py            the ids of notificaties
    durations.py      how long deliveries took, in buckets, and percentiles of that
    keeper/           the keeper: finds what RabbitMQ lost and gives it back
    operating/        what operators do with deliveries: send again, send now, replay, remove
    copies/           which ledger this is; copies of it, for backup and restore
    moving/           moves a ledger to another store, with its registry
    explaining/       the sentences that say what became of a notificatie, and why
"""
