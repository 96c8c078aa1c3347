"""Hosts for tests: network namespaces of this machine, each with an address, on a network of their own.

network     the hosts and their network: run in one, kill all of it, cut it off
watcher     the process that ends everything in them when who made them is gone
rabbitmq    a RabbitMQ node on a host
postgresql  a PostgreSQL server on a host
"""
