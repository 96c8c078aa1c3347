"""Attempting: the path of one message from its queue to an acknowledgement.

deliver.py      the path on one screen: prepare, check, send, classify and decide, settle
concurrency.py  how many requests may be under way, in all and to one host
decide.py       what follows from an answer: delivered, retried, undeliverable, suspended; no I/O
settle.py       acknowledges, publishes to a wait queue or to the undeliverable; nothing else does
"""
