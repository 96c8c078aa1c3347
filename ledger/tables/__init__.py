"""What is alike in the tables of every store. Pure: no SQL.

rows.py      values as rows and back, and hashes of texts that are found by them
merging.py   what events make of the rows that are there, and what is counted for that
keeping.py   what a keeper makes of a row, and when it gets the lease
minutes.py   what was counted in each minute
budget.py    how far a ledger may grow
hash_key.py  the key of the hashes, encrypted
replays.py   a replay as a row and back
turns.py     what is told of the deliveries before one and behind it, for order per hoofdObject
"""
