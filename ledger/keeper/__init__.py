"""The keeper, `nrc ledger`: gives back to RabbitMQ what RabbitMQ does not have.

Several may run; the one with the lease works. It reads the ledger, decides, commits, and then publishes.
Nothing waits for it: while no keeper runs, everything else goes on.

    service.py    the process: what it opens, its health, how it stops
    lease.py      whether this keeper is the one that works
    marking.py    whether an older copy of the ledger was put back
    work.py       one pass over all that may have to be given back, again and again
    changes.py    what a gateway's older copy of the registry left out
    gaps.py       what was lost with a queue, or at a time that an operator tells
    lost.py       what RabbitMQ lost; judging.py how that is known
    unrouted.py   what a gateway accepted without RabbitMQ
    dead_letters.py  what RabbitMQ hands over as undeliverable; letter.py a message of RabbitMQ for the ledger
    retention.py  what waits for too long, or too much of it; trimming.py takes that from the front of a queue
    ending.py     how a delivery ends as undeliverable without an attempt
    removed.py    what is open of an abonnement that was removed
    replays.py    replays that operators asked for: their next deliveries, at the rate of each
    giving.py     a give-back: committed as RETURNING, then published to one queue, at a bounded rate
    room.py       how much the queue of an abonnement may get now
    shedding.py   what goes out of the ledger
    message.py    a delivery as a message in RabbitMQ
"""
