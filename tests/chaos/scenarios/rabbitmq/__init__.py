"""Faults of RabbitMQ: the whole broker, its queues and exchanges, policies, nodes and the network."""
