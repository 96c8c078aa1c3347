"""What goes where: names, routing keys, the matching predicate, the topology in RabbitMQ and its upkeep.

`names` makes every name, `declarer` declares everything, `reconcile` repairs it, `publishing` publishes.
"""
