"""What operators have done with deliveries: sent again, sent now, replayed, or removed.

replays.py    a replay: what it sends to whom, how far it is; and what a store does for it
sending.py    deliveries that are sent again at once, into the queue of their abonnement
unsure.py     deliveries of which nobody knows whether they were delivered, and what is decided of them
"""
