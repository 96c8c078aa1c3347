"""Each kind of thing in a setup file: what is to be done for it, and how.

step.py          a step of a plan, what is known when one is made, and what carrying one out takes
kanalen.py       kanalen
applications.py  applications
abonnementen.py  abonnementen; amqp_abonnementen.py those whose consumer reads RabbitMQ
mappings.py      mappings of notificaties to CloudEvents
users.py         users of the console
alerts.py        of what operators are warned, and where that goes
"""
