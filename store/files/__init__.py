"""SQLite files in general, for the registry and the ledger.

sqlite_file.py   one file: a thread that writes, others that read
faults.py        SQLite's errors as errors that say what to do
host_lease.py    the lease by which only one host uses it
schema_steps.py  carries out the schema steps that it lacks
upgrade.py       the copy before such steps, and removing secrets from the file after them
durable.py       small files that are written whole and synced, or not at all
"""
