"""Giving back: publishes a delivery of the ledger to the queue of its abonnement again.

giving.py      committed as RETURNING, then published, at a bounded rate
publishing.py  reads bodies and publishes; also used by operators' commands
queue_room.py  how many messages a queue may get now
binding.py     asks the router to bind an abonnement again when a delivery of it was lost
message.py     a delivery as a message in RabbitMQ; no I/O
"""
