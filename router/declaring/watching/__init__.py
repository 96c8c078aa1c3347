"""Watches for what may go wrong with queues in RabbitMQ.

new_queues.py  queues so new that RabbitMQ may lose them when it is killed now
leaders.py     queues without a leader
refusals.py    abonnementen whose queue RabbitMQ refuses
canary.py      policies that remove messages
"""
