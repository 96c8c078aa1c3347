"""`nrc ledger`: the keeper's process, and commands to inspect and repair the ledger.

commands.py  the process, status, gaps
telling.py   what it has, in words and as JSON
audit.py     lists UNSURE deliveries, and decides on them
rebuild.py   makes a new ledger from what can be read of a damaged one
restored.py  says that pg_restore put the database back
"""
