"""The router process: declares exchanges, queues and bindings, and declares again what is missing.

service.py           the process, and what it does on each connection
request_handling.py  the requests of other processes (router/requests.py)
reconcile.py         compares registry and RabbitMQ: declares what is missing, removes orphans
declarer.py          declares and removes; opens the gap of a queue that was lost
channels.py          many AMQP methods in one write, with one answer
existence.py         which exchanges and queues exist
declared_things.py   notes in the registry what was declared, since AMQP cannot list it
losses.py            the protocol by which a gap is opened and closed in the ledger
watching/            queues that are new, without a leader or refused; policies of others
"""
