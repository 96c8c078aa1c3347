"""The keeper, `nrc ledger`: gives back to RabbitMQ what RabbitMQ lost or never had.

Several may run; the one with the lease works. It reads the ledger, decides, commits, and then publishes.
Nothing waits for it: while no keeper runs, everything else goes on.

    service.py      the process: what it opens, its health, how it stops
    parts.py        the parts of a running keeper, for observers such as metrics
    lease.py        whether this keeper is the one that works
    older_copy.py   whether an older copy of the ledger was put back
    left_behind.py  notes in the ledger what processes had in memory when they ended
    loop.py         the keeper's loop: pass after pass over all that may have to be given back
    losses/         finds what RabbitMQ lost or never had: gaps, unrouted, E1 and E2
    giving_back/    gives it back: commits it as RETURNING, then publishes it to one queue
    undeliverable/  ends what is not delivered: dead letters, too old, too much, abonnement removed
    lane.py         the lane for bulk: brings it into the queues a few at a time
    replays.py      replays that operators asked for: their next deliveries, at the rate of each
    counting.py     counts in every minute what waits for abonnementen that nothing is sent to
    shedding.py     removes rows and bodies from the ledger, by age and budget
"""
