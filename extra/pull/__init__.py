"""Pull: abonnementen without a callback, whose consumers fetch what is for them, out of the ledger.

What is for such an abonnement is a row of the ledger and nothing else: the router declares no queue for it.
It stays until it is acknowledged, or as long as what waits in a queue may (docs/decisions/0045).

abonnementen.py  making, showing and removing one
cursors.py       what was handed out together, as a text by which it is acknowledged
handing_out.py   what waits for one, as it is handed out
waiting.py       those who wait until something comes, and when it has
fetching.py      GET …/pull, with a long poll, and POST …/pull/ack
events.py        GET …/pull/events: the same as server-sent events
"""
