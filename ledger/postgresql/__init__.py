"""The ledger in a PostgreSQL database. Needs the extra nrc[postgresql].

ledger.py      which work runs in which transaction
schema.py      the tables, as steps that only go forward
days.py        partitions by day: made in advance, dropped whole
clock.py       the database's clock, and up to when all that was written can be seen
names.py       clients, kanalen and abonnementen by number, so that rows are small
writing.py     the SQL of what gateways and deliverers write
reading.py     the SQL of searches, and by which index
finding.py     the SQL of look-ups for operators' commands, of order per hoofdObject, and of counts per minute
keeper.py      the SQL of the lease and of what is given back
replays.py     the SQL of replays
shedding.py    what is removed: whole days, and the rest row by row
"""
