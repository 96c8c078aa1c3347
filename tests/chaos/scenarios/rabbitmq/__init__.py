"""Faults of RabbitMQ: as a whole, of what stands in it, of policies, of nodes and of the network."""
