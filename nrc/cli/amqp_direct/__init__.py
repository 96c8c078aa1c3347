"""`nrc amqp`: consumers that read a queue of their own in RabbitMQ (docs/amqp.md).

commands.py  making one, showing how it connects, another password, and users for rabbitmqctl
"""
