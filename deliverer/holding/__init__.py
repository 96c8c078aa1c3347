"""Holding: nothing is sent to a callback that does not work; its queue keeps everything.

breaker.py     the circuit breaker: when failures are those of the callback and not of one message
hold.py        holding, suspending and releasing an abonnement, in the registry
probe.py       one message at a time to a held callback, to see whether it works again
slow_start.py  how many requests may be under way after a hold
"""
