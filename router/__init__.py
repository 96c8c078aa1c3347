"""Routing: the names and topology in RabbitMQ, matching, and publishing, as every process uses them.

names.py        every name in RabbitMQ
topology.py     the exchanges, queues and bindings that must exist there, as values
routing.py      the routing key and headers of a notificatie
matching/       whether a notificatie matches an abonnement
publishing.py   publishing with a confirm
history.py      what a message carries of its attempts
catalogue.py    a process's copy of the registry; changes.py the hint that it is out of date
readiness.py    the marker that says that everything is declared
requests.py     requests to the router process
registering.py  an abonnement written and declared, in the order that loses nothing
amqp_direct/    consumers that read a queue of their own in RabbitMQ
queue_depth.py  how many messages and consumers a queue has
declaring/      the router process, which alone declares
"""
