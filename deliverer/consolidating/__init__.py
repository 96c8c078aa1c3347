"""Consolidating: of repeats about the same resource an abonnement may want the newest only.

Of two deliveries with the same kanaal, resource, resourceUrl and actie the later comes `consolidate` seconds
after the former at the least; what waits meanwhile, or for any other reason, ends when a newer one stands for
it.

deciding.py       decides from what the ledger has of the same: go, wait, or end; no I/O
consolidating.py  one message: asks the ledger, and carries the decision out
"""
