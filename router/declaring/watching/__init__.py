"""What may go wrong with queues in RabbitMQ.

new_queues.py  queues that RabbitMQ may forget when it is killed now
leaders.py     queues without a leader
refusals.py    abonnementen whose queue RabbitMQ refuses
canary.py      policies that take messages away
"""
