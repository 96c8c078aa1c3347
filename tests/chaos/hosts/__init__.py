"""The product under test on several hosts, which share a PostgreSQL and a cluster of RabbitMQ.

system    all of it: what runs on which host, and what kills and cuts off a host
"""
