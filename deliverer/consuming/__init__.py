"""Consuming: which queues are consumed, and how much of each is in hand.

consumers.py  the queues of the active abonnementen of the registry, on every connection anew
channels.py   one channel and the consumers on it
prefetch.py   the prefetch of each queue, from the bytes of the bodies that this process has in hand
"""
