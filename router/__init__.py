"""What goes where: the ways of a message through RabbitMQ, as every process knows them.

names.py        every name in RabbitMQ
topology.py     what must stand there, as values
routing.py      the routing key and headers of a notificatie
matching/       whether a notificatie matches an abonnement
publishing.py   publishing with a confirm
history.py      what a message carries of its attempts
catalogue.py    a process's copy of the registry; changes.py the hint that it is old
readiness.py    the marker that says that all stands
requests.py     asking the router process
queue_depth.py  how full a queue is, and who consumes it
declaring/      the router process, which alone declares
"""
