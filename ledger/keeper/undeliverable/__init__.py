"""What ends without having been delivered.

dead_letters.py          what RabbitMQ hands over in `nrc.undeliverable`, taken into the ledger
entry_of_message.py      what the ledger keeps of a message that it does not know; no I/O
retention.py             what waits for too long, or too much of it
trimming.py              takes from the front of a queue what has ended in the ledger
removed_abonnementen.py  what is open of an abonnement that was removed
ending.py                how a delivery ends as undeliverable without an attempt
"""
