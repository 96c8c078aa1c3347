"""Who publishes and who is called, and what is published.

load.py              kanalen, abonnementen, and a notificatie for every number
publisher.py         posts at a rate and notes every answer
consumer.py          callbacks in a process of its own, which notes every request
consumer_process.py  the runner's end of that process
behaviours.py        how a callback answers
"""
