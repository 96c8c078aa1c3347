"""The ledger in a SQLite file.

ledger.py    which work runs in which transaction
schema.py    the tables, as steps that only go forward
looking.py   reads a file without opening it as the ledger
rows.py      values as rows and back, and how an outcome is merged into a row
numbers.py   clients, kanalen and abonnementen by number, so that rows are small
writing.py   the SQL of what gateways and deliverers write
reading.py   the SQL of searches, and by which index
keeper.py    the SQL of the lease and of what is given back
replays.py   the SQL of replays
finding.py   the SQL of look-ups for operators' commands, and of counts per minute
ordering.py  the SQL of what is before and behind a delivery, of the same hoofdObject
shedding.py  what is removed, by age and by the budget
"""
