"""AMQP direct: abonnementen whose consumer reads a queue of its own in RabbitMQ (docs/amqp.md).

making.py      POST /abonnement/amqp: one is made, and its password told once
connecting.py  GET /abonnement/{uuid}/amqp: where it connects; POST …/amqp/password: another password
"""
