"""The router process: declares what must stand in RabbitMQ, and makes it again where it is missing.

service.py           the process, and what it does on each connection
request_handling.py  what others ask of it (router/requests.py)
reconcile.py         registry against RabbitMQ: what is missing, what nobody asks for any more
declarer.py          declares and removes the queue, bindings and marker of an abonnement, and all else
channels.py          many methods in one write, with one answer
existence.py         which exchanges and queues are there
declared_things.py   what was declared, noted in the registry, since AMQP has no list
losses.py            who is told of a gap: what a queue or an exchange lost
watching/            queues that are new, without a leader or refused; policies of others
"""
