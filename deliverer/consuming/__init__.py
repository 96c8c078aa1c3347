"""Consuming: which queues are consumed, and with what prefetch.

consumers.py  consumes the queues of the active abonnementen of the registry, on each new connection
standings.py  which queues should be consumed, what is known of each, and which need a look now
channels.py   one channel and the consumers on it
trying.py     whether a queue can be consumed, on a connection beside that with messages in hand
prefetch.py   the prefetch of each queue, by the bytes of the bodies that this process has in hand
"""
