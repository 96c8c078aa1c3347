"""AMQP direct: deliveries published into the queue of their consumer, in place of POSTed to a callback.

message.py  a delivery as the AMQP message that its consumer reads. Pure
sending.py  publishes it with a confirm; RabbitMQ's answer as that of a callback
"""
