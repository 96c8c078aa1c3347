"""AMQP direct: a consumer reads its own queue in RabbitMQ, as a RabbitMQ user that may read that queue alone.

queues.py       which queue or stream, with which limits: kept as the abonnement's callbackUrl
passwords.py    a new password of such a user, and the hash that RabbitMQ and the registry keep of it
connecting.py   where its consumer connects, what its user may do, and users as rabbitmqctl takes them
management.py   RabbitMQ's HTTP API (the management plugin)
users.py        has RabbitMQ have the users that there should be, in the router process
registering.py  making such an abonnement, and another password for it
"""
