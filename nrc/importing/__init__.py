"""The move from Open Notificaties: what it has becomes a plan of ours, and what it still has to deliver too.

source.py       what was found there, whichever way it was read
database.py     reads its PostgreSQL database
dump.py         reads a file of `dumpdata`
api.py          reads its API, which tells less
translating.py  its rows as a setup file of ours (nrc/setup), and what is not taken
ids.py          the id of a notificatie that it had accepted, the same in each run
deliveries.py   what it still had to deliver, into the ledger, each once
"""
