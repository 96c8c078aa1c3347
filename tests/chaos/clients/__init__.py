"""The publisher, the consumer, and what is published.

load.py              kanalen, abonnementen, and a notificatie for every number
publisher.py         posts at a rate and records every answer
consumer.py          callbacks in a process of its own, which records every request
consumer_process.py  starts and commands that process
behaviours.py        how a callback answers
"""
