"""The keeper, `nrc ledger`: gives back to RabbitMQ what RabbitMQ does not have.

Several may run; the one with the lease works. It reads the ledger, decides, commits, and then publishes.
Nothing waits for it: while no keeper runs, everything else goes on.

    service.py      the process: what it opens, its health, how it stops
    parts.py        the parts of a running one, for whoever observes it
    lease.py        whether this keeper is the one that works
    older_copy.py   whether an older copy of the ledger was put back
    left_behind.py  what processes ended with that the ledger lacks
    loop.py         one pass over all that may have to be given back, again and again
    losses/         what RabbitMQ lost or never had, and how that is known
    giving_back/    committed as RETURNING, then published to one queue, at a bounded rate
    undeliverable/  what ends without having been delivered: dead letters, too old, too much, removed
    replays.py      replays that operators asked for: their next deliveries, at the rate of each
    shedding.py     what goes out of the ledger, by age and budget
"""
