"""Faults of RabbitMQ: all of it, its queues and exchanges, policies, nodes, the network, who reads it."""
