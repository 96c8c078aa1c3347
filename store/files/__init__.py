"""SQLite files in general, for the registry and the ledger.

sqlite_file.py   one file: a thread that writes, others that read
faults.py        what can go wrong with it, in words that say what to do
host_lease.py    which host uses it, so that no two do
schema_steps.py  which steps of its schema it has, and carrying out the others
upgrade.py       the copy before such steps, and no traces of secrets after
durable.py       small files that are written whole and synced, or not at all
"""
