"""What operators do with deliveries: send again, send now, replay, remove.

replays.py    a replay and its progress, and the protocol of a store for it
sending.py    sends deliveries again at once, into the queue of their abonnement
unsure.py     UNSURE deliveries, and what an operator decides of them
"""
