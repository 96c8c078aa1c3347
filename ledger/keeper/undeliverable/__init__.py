"""Deliveries that end undelivered: dead letters, too old, over the budget, abonnement removed.

dead_letters.py          takes the messages in `nrc.undeliverable` into the ledger
entry_of_message.py      reads a message, and makes the entry and outcome that the ledger lacks; no I/O
retention.py             ends what waits for too long, or exceeds the budget of an abonnement
trimming.py              removes messages from the front of a queue that have ended in the ledger
removed_abonnementen.py  ends what is open of an abonnement that was removed
ending.py                makes deliveries undeliverable without an attempt
"""
