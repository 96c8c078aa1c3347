"""Ordering: of two deliveries of the same hoofdObject the later waits until the earlier has ended.

For abonnementen whose options ask for it; of all others one attribute is read.

in_turn.py    one message: whose turn it is, and what becomes of a message that has to wait
turns.py      decides from what is known of the deliveries before one; no I/O
lanes.py      what this process has in hand of each hoofdObject, and what it has delivered
asking.py     asks the ledger, for many messages at once
releasing.py  brings what waits in the ledger into its queue again, once it is its turn
"""
