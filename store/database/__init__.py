"""A PostgreSQL database in general, for the registry and the ledger. Needs the extra nrc[postgresql].

address.py       where it is: the URL, its schema, the password, and what a connection is opened with
database.py      transactions: a pool of connections, and what happens when one is lost
faults.py        PostgreSQL's errors as errors that say what to do, and which of them pass by themselves
schema_steps.py  carries out the schema steps that it lacks, by one process at a time
extra.py         says what to install where psycopg is missing
statements.py    the few statements that are used everywhere, with rows as tuples
looking.py       looks at tables that may not be there, and makes nothing
listening.py     waits for NOTIFY, on a connection of its own
"""
