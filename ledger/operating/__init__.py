"""What operators have done with deliveries: sent again, sent now, replayed, or removed.

finding.py    deliveries by what an operator has of them
replays.py    a replay: what it sends to whom, how far it is; and what a store does for it
replaying.py  the same in the SQLite ledger
sending.py    deliveries that are sent again at once, into the queue of their abonnement
"""
