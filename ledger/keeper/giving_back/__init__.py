"""Giving back: a delivery of the ledger to the queue of its abonnement once more.

giving.py      committed as RETURNING, then published, at a bounded rate
publishing.py  what the keeper and operators' commands do alike: bodies, publishes, what RabbitMQ said
queue_room.py  how many messages a queue may get now
binding.py     has the router bind an abonnement of which something was found lost
message.py     a delivery as a message in RabbitMQ; no I/O
"""
