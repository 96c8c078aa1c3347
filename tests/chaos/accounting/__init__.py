"""The accounting of a scenario, from what publisher, consumer and queues recorded. Pure.

account.py  what became of each delivery: delivered, waiting, lost, more than once
options.py  what was out of order, and what ended in a newer one that was delivered
"""
