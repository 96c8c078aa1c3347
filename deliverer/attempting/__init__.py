"""Attempting: the path of one message from its queue to an acknowledgement.

deliver.py      the path on one screen: prepare, check, send, classify and decide, settle
concurrency.py  how many requests may be under way, in all and to one host
decide.py       decides from an answer: delivered, retry, undeliverable, suspend; no I/O
wanted.py       whether a message is for its abonnement by the filters of now; no I/O
faults.py       what becomes of a message when the path raises: a failed attempt, or back into its queue
settle.py       acknowledges, requeues, or publishes to a wait queue or `nrc.undeliverable`; nothing else does
"""
