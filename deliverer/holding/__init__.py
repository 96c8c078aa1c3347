"""Holding: nothing is sent to a callback that does not work; its queue keeps everything.

breaker.py     the circuit breaker: decides when failures are the callback's and not those of one message
hold.py        holds, suspends and releases an abonnement, in the registry
probe.py       sends one message at a time to a held callback, to see whether it works again
slow_start.py  how many requests may be under way after a hold
"""
